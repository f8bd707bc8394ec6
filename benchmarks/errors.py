"""Everything that the benchmarks can refuse.

BenchmarkError
  x TargetsError      `targets.toml` or a result file is not in its format
  x ServedModelError  the server under measurement did not start, failed a request, or answered wrongly
  x TracedEffectsError  a contender's causal effects are not ours
  x CircuitsError     a bundle and the chain that it is said to come from do not belong together
  x RecipeFailedError  a command of a measured recipe failed
  x GatesError        a gate's table and what it is said to come from do not belong together
"""


class BenchmarkError(Exception):
    """Root of the tree."""


class TargetsError(BenchmarkError):
    """A targets file or a result file that is not in its format."""


class ServedModelError(BenchmarkError):
    """The server under measurement did not start, failed a request, or answered wrongly."""


class TracedEffectsError(BenchmarkError):
    """A contender of the tracing benchmark whose effects differ from ours: its time says nothing."""


class CircuitsError(BenchmarkError):
    """A bundle and the chain that it is said to come from do not belong together."""


class RecipeFailedError(BenchmarkError):
    """A command of a measured recipe failed; what it said stands above."""


class GatesError(BenchmarkError):
    """A gate's table, and the bundle or chain that it is said to come from, do not belong together."""
