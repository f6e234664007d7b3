"""Errors that people see: what was wrong, with which file, and what to do about it.

Every error a user can cause derives from `PneumoscopeError`; the command line prints it as one
line and exits with code 2. Anything else that escapes is a defect.
"""

from __future__ import annotations

from pathlib import Path

from pneumoscope.names import plain


class PneumoscopeError(Exception):
    """A problem with the input or the environment, with its remedy.

    Args:
        problem: what is wrong, in one sentence without a full stop.
        path: the file or folder it is about, if any.
        remedy: what the user can do, in one sentence without a full stop.
    """

    def __init__(
        self, problem: str, *, path: str | Path | None = None, remedy: str | None = None
    ) -> None:
        self.problem = problem
        self.path = None if path is None else Path(path)
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        where = "" if self.path is None else f"{self.path}: "
        if self.remedy is None:
            return plain(f"{where}{self.problem}")
        # A command is to be copied as it stands.
        command = self.remedy.startswith(("pip ", "pneumoscope "))
        first = self.remedy[:1] if command else self.remedy[:1].upper()
        return plain(f"{where}{self.problem}. {first}{self.remedy[1:]}")


class ImageError(PneumoscopeError):
    """A file cannot be used as a radiograph."""


class UnreadableImage(ImageError):
    """The file is missing, empty, truncated, or not an image that can be decoded."""


class UnsupportedImage(ImageError):
    """The file is a valid image, but not a single grayscale frontal radiograph."""


class CohortError(PneumoscopeError):
    """A folder or table cannot be used as a cohort."""


class SettingsError(PneumoscopeError):
    """A setting is unknown or out of range."""


class WeightsError(PneumoscopeError):
    """Weights are missing, altered, or do not fit the architecture."""


class BundleError(PneumoscopeError):
    """A bundle is missing, altered, or made by something this version does not know."""


class RunError(PneumoscopeError):
    """A run folder cannot be created, resumed, or trained."""


class EvaluationError(PneumoscopeError):
    """Figures cannot be computed from what was given."""


class MissingExtra(PneumoscopeError):
    """A library is needed that belongs to an extra of the package, and is not installed."""


class OutputError(PneumoscopeError):
    """An output cannot be written."""
