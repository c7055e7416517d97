"""The errors a user can meet: one base, a few named children, each a sentence that helps.

A message says what is wrong, where, what was found, what is allowed and how to mend it. The command
line prints it without a traceback and exits with 2.
"""


class DipolarMDError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(DipolarMDError):
    """A file, key, value or argument is wrong."""


class UnsupportedError(DipolarMDError):
    """The chosen engine can't do what is asked; the message names one that can."""


class EngineMissingError(DipolarMDError):
    """An engine or device is not available on this machine; the message says how to get it."""


class BlowUpError(DipolarMDError):
    """A simulation left the physically meaningful range; the last good checkpoint is kept."""


class RunDirectoryError(DipolarMDError):
    """A run directory can't be used: foreign, belonging to another recipe, or unwritable."""
