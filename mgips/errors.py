"""The exceptions a user can meet: one sentence each, with the file, the line and the remedy."""

from __future__ import annotations


class MGIPSError(Exception):
    """A mistake in the input or in the settings, told in one sentence with its remedy.

    The command line prints it without a traceback and exits with status 2.
    """


def said_by(error: Exception) -> str:
    """What a library's exception says, without a full stop, to stand in brackets; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class DataError(MGIPSError):
    """Something is wrong with a text file, a crop map or a picture on disk."""


class ConfigError(MGIPSError):
    """Settings that do not fit together, or that do not exist."""


class RunError(MGIPSError):
    """A run folder that cannot be read or written, or a run that had to stop."""
