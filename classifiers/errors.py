"""Everything that `classifiers` can refuse, as one tree.

    ClassifiersError
      x ClassifierError         a score that cannot be had or trusted; callers then use full strength
          x ArtifactError           a fitted classifier whose files cannot be read or do not verify
          x MemberConfigError       a member's configuration that is not in its format, or names what is not there
          x RemoteError             a service that judges texts and did not, in time or at all
      x UnknownMemberError      a member, scorer or data set that no factory knows
      x SourceFormatError       a data file that is not in its published format
      x FitError                data or a configuration from which nothing can be fitted
      x MissingReferenceError   a reply to a question without reference answers; it cannot be judged
      x GateTableError          a table of harm and change that does not hold together
      x ChoiceError             a choice among variants that cannot be read, or is not of these bundles

Every message names what was found and what was wanted.
"""


class ClassifiersError(ValueError):
    """Root of the tree; catch this to catch all of them."""


class ClassifierError(ClassifiersError):
    """A harm potential that is missing, not a number, or outside [0, 1]."""


class ArtifactError(ClassifierError):
    """Files of a fitted classifier that cannot be read, or differ from what its card declares."""


class MemberConfigError(ClassifierError):
    """A member's configuration that is missing, not in its format, or asks for what is not there."""


class RemoteError(ClassifierError):
    """A remote judge that cannot be reached, refuses, takes too long, or answers what cannot be read."""


class UnknownMemberError(ClassifiersError):
    """A name that the factory does not know."""


class SourceFormatError(ClassifiersError):
    """A data file that is not in its published format."""


class FitError(ClassifiersError):
    """Data or a configuration from which nothing can be fitted."""


class MissingReferenceError(ClassifiersError):
    """A reply whose question has no reference answers."""


class GateTableError(ClassifiersError):
    """A table of harm and change whose parts do not fit together."""


class ChoiceError(ClassifiersError):
    """A choice among the variants of a behaviour that is not in its format, or belongs to other bundles."""
