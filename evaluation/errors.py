"""Everything that `evaluation` can refuse, as one tree.

    EvaluationError
      x StatisticsError     samples from which a statistic cannot be computed

Every message names what was found and what was wanted.
"""


class EvaluationError(ValueError):
    """Root of the tree; catch this to catch all of them."""


class StatisticsError(EvaluationError):
    """Samples from which a statistic cannot be computed."""
