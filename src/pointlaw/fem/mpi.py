"""The one guarded place where MPI and DOLFINx come in, and what happens when a rank fails.

``from mpi4py import MPI`` runs here before anything touches DOLFINx: with the wheel, importing DOLFINx first dies with
"libmpi.so.12: cannot open". A missing DOLFINx or a launcher of another MPI is one sentence that says what to do. In a
job of several ranks an excepthook ends the whole job when one rank fails, and :func:`agree` lets all ranks raise
together; without them the other ranks would wait for ever in their next collective call.

What the excepthook does *not* see: an exception in a thread other than the main one (Python prints it and goes on, as
always), and ``sys.exit(n)``, which Python treats as an orderly end: call it on every rank, or raise instead.
``python -m mpi4py program.py`` also ends the job when one rank exits with ``n != 0``.
"""

import os
import sys
import time
import traceback
from types import TracebackType
from typing import Any

from pointlaw import environment
from pointlaw.errors import EnvironmentProblem, PointlawError


def _import_mpi() -> Any:
    """Import and start MPI; raise ``EnvironmentProblem`` with a sentence where MPI would abort or mislead."""
    if sentence := environment.dolfinx_sentence():
        raise EnvironmentProblem(sentence)
    import mpi4py

    # Under the launcher of another MPI, MPI_Init may abort before Python can speak (MPICH under Open MPI's mpirun
    # does). The library may be asked for its name before it is started, so start it by hand after that question.
    by_hand = mpi4py.rc.initialize and environment.launched_size()[0] > 1
    if by_hand:
        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise EnvironmentProblem(
            f"MPI could not be loaded ({error}). mpi4py and DOLFINx must come from the same installation. "
            f"{environment.HOW_TO_GET_DOLFINX}"
        ) from error
    vendor, version = MPI.get_vendor()
    library = f"{vendor} {'.'.join(map(str, version))}"
    if by_hand and not MPI.Is_initialized():
        if vendor == "MPICH" and "OMPI_COMM_WORLD_SIZE" in os.environ and "PMI_SIZE" not in os.environ:
            raise EnvironmentProblem(str(environment.launcher_sentence(1, library)))
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
    if MPI.Is_initialized() and (sentence := environment.launcher_sentence(MPI.COMM_WORLD.size, library)):
        raise EnvironmentProblem(sentence)
    return MPI


def _import_dolfinx() -> str:
    """Import DOLFINx after MPI and return its version; raise ``EnvironmentProblem`` if it cannot be used."""
    try:
        import dolfinx
    except ImportError as error:
        raise EnvironmentProblem(f"DOLFINx could not be loaded ({error}). {environment.HOW_TO_GET_DOLFINX}") from error
    version = str(dolfinx.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < environment.MINIMUM_DOLFINX:
        needed = ".".join(map(str, environment.MINIMUM_DOLFINX))
        raise EnvironmentProblem(
            f"This is DOLFINx {version}; pointlaw needs {needed} or newer. {environment.HOW_TO_GET_DOLFINX}"
        )
    return version


MPI = _import_mpi()
DOLFINX_VERSION = _import_dolfinx()

# How long a rank waits for the others to arrive with the same collective error before it ends the job.
MEETING_SECONDS = 5.0


def everyone_arrives(comm: Any, seconds: float = MEETING_SECONDS) -> bool:
    """Return whether all ranks of ``comm`` get here within ``seconds``; after ``False``, ``comm`` is spent."""
    request = comm.Ibarrier()
    until = time.monotonic() + seconds
    while not request.Test():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _print_error(error: BaseException, mark: str, brief: bool) -> None:
    """Write the traceback, or the sentence alone, to stderr in one piece with ``mark`` before each line."""
    lines = [f"Error: {error}"] if brief else "".join(traceback.format_exception(error)).splitlines()
    sys.stdout.flush()
    sys.stderr.write("".join(f"{mark}{line}\n" for line in lines))
    sys.stderr.flush()


def end_job(error: BaseException, *, brief: bool = False) -> None:
    """Print ``error`` and end all ranks; call it where an exception was caught for the last time.

    An error with ``collective = True`` is printed by rank 0, and by the rank where it began; all ranks then return from
    here and are expected to exit with a status other than 0. Any other error ends the whole job with status 1 (130
    after Ctrl-C) and does not return. ``brief`` prints the sentence without the traceback.
    """
    world = MPI.COMM_WORLD
    if world.size == 1:
        return _print_error(error, "", brief)
    mark = f"[rank {world.rank}] "
    if getattr(error, "collective", False):
        if world.rank == 0:
            _print_error(error, "", brief)
        elif error.__cause__ is not None and not brief:
            _print_error(error.__cause__, mark, brief)
        # All ranks raised the same error: leave in order, so that files are closed.
        if everyone_arrives(world):
            return None
    # Reached with a collective error only if it was not as collective as it says: then this rank alone knows of it.
    if world.rank > 0 or not getattr(error, "collective", False):
        _print_error(error, mark, brief)
    # The launcher forwards what is in the pipes; give it the time, because it drops the rest when the job aborts.
    time.sleep(0.2)
    world.Abort(130 if isinstance(error, KeyboardInterrupt) else 1)
    return None


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    end_job(error)


def install_abort_hook() -> bool:
    """Let an uncaught exception on one rank end the whole job; return whether the hook is in place.

    The traceback goes to stderr with the rank in front of each line, then ``COMM_WORLD.Abort(1)`` ends all ranks. An
    error with ``collective = True`` is printed by rank 0 alone, and all ranks end with status 1. Importing
    ``pointlaw.fem`` installs the hook when there are several ranks and nobody else has set ``sys.excepthook``;
    one rank keeps Python's own.
    """
    if MPI.COMM_WORLD.size > 1 and sys.excepthook is sys.__excepthook__:
        sys.excepthook = _excepthook
    return sys.excepthook is _excepthook


install_abort_hook()


def all_max(comm: Any, value: int) -> int:
    """Return the largest ``value`` of all ranks of ``comm``; collective."""
    return int(comm.allreduce(int(value), op=MPI.MAX))


def all_min(comm: Any, value: float) -> float:
    """Return the smallest ``value`` of all ranks of ``comm``; collective."""
    return float(comm.allreduce(float(value), op=MPI.MIN))


def agree(comm: Any, error: Exception | None) -> None:
    """Raise on every rank of ``comm`` if any rank passes an error; collective, and silent if all pass ``None``.

    Every rank raises an error of the class of the lowest failing rank, with its sentence and that rank's number; on
    that rank the cause is its own error with its traceback. The error is marked ``collective``. A class that the other
    ranks cannot import, or that cannot be made from one sentence, becomes a ``PointlawError`` that names the class.
    """
    failing = int(comm.allreduce(comm.rank if error is not None else comm.size, op=MPI.MIN))
    if failing == comm.size:
        return
    kind, sentence = comm.bcast(_travelling(error) if error is not None else None, root=failing)
    together = kind(f"{sentence} (rank {failing} of {comm.size})" if comm.size > 1 else sentence)
    together.collective = True
    raise together from error


def _travelling(error: Exception) -> tuple[type[Exception], str]:
    """Return a class and a sentence that every rank can make an error of."""
    kind, sentence = type(error), str(error)
    importable = getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind
    if importable and kind.__module__ != "__main__":
        try:
            kind(sentence)
            return kind, sentence
        except Exception as refusal:  # an unknown class may refuse one argument in any way it likes
            sentence = f"{sentence} [{kind.__name__} takes more than a sentence: {refusal}]"
    return PointlawError, f"{kind.__name__}: {sentence}"
