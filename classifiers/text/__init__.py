"""Text as a reader would take it, whatever it was disguised as: see `classifiers.text.readings`."""

from classifiers.text.readings import readings

__all__ = ["readings"]
