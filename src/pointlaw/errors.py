"""The family of errors that pointlaw raises.

Each message is a sentence that names the thing, the value and what to change. Errors that stem from the user's
input are also ``ValueError``; ``NotConverged`` carries the solution as far as it went.
"""

from typing import Any


class PointlawError(Exception):
    """Root of all errors raised by pointlaw.

    ``collective`` says that every rank of the MPI job raises the same error together, so that it is printed once.
    """

    collective: bool = False


class InputError(PointlawError, ValueError):
    """Something the user passed cannot be used; the message says what and why."""


class NoPathLeft(InputError):
    """A teacher failed on every path that it was asked for."""


class NothingLearned(InputError):
    """No batch of an epoch has a finite gradient; ``number`` is that of the epoch, from zero."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


class LawFileError(PointlawError):
    """A law file is unreadable, damaged, incomplete, or does not match its card."""


class MeshError(InputError):
    """A mesh, or a tag of a mesh, cannot be used; every rank raises it."""

    collective = True


class SetupError(InputError):
    """A problem is posed wrongly (no supports, unknown tag, law that does not fit); every rank raises it."""

    collective = True


class NotConverged(PointlawError):
    """A simulation ended before its last time; ``solution`` holds what was reached."""

    collective = True

    def __init__(self, message: str, solution: Any = None):
        super().__init__(message)
        self.solution = solution


class EnvironmentProblem(PointlawError, RuntimeError):
    """The machine lacks something (DOLFINx, a compiler, the right launcher); the message says what to install."""
