"""One writer an output: a lock file that says who writes, and that a dead writer does not leave locked for ever.

The file names host, process and start of the process and is touched regularly while its owner lives. On the same host a
lock is stale when that process is gone; on another host, where processes cannot be seen, when nobody has touched the
file for a while by the clock of the file system itself.
"""

import contextlib
import json
import logging
import os
import socket
import threading
from pathlib import Path
from types import TracebackType

from pointlaw.errors import InputError

log = logging.getLogger(__name__)

TOUCH_SECONDS = 10.0
STALE_SECONDS = 120.0


class OutputLock:
    """The right to write to ``folder``, held from entering to leaving a ``with`` block.

    Raises
    ------
    InputError
        On entering, if somebody else holds it; the sentence says who and what to do.
    """

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / "writer.lock"
        self._leave = threading.Event()

    def __enter__(self) -> "OutputLock":
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._create():
            owner = self._owner()
            if owner is not None and (sentence := self._alive(owner)):
                raise InputError(sentence)
            log.warning("%s was left behind by a writer that is gone; it is taken over.", self.path)
            # Renaming is atomic: of two that find the same stale lock only one moves it away.
            with contextlib.suppress(FileNotFoundError):
                grave = self.path.with_suffix(f".stale-{os.getpid()}")
                self.path.rename(grave)
                grave.unlink()
            if not self._create():
                raise InputError(f"{self.folder} has just been taken by another writer; choose another output.")
        self._thread = threading.Thread(target=self._touch, name="pointlaw-lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        """Write the lock file; return whether it was not there yet."""
        content = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())})
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            os.write(file, content.encode())
        finally:
            os.close(file)
        return True

    def _owner(self) -> dict[str, str | int] | None:
        """Return who holds the lock, ``{}`` if the file does not say, ``None`` if it has vanished."""
        try:
            return dict(json.loads(self.path.read_text()))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}

    def _alive(self, owner: dict[str, str | int]) -> str:
        """Return the sentence that names the living owner, or "" if the lock is stale."""
        host, pid = owner.get("host", "an unknown host"), int(owner.get("pid", 0))
        here = host == socket.gethostname()
        if here and _born(pid) != owner.get("born"):
            return ""
        idle = self._idle()
        if not here and idle > STALE_SECONDS:
            return ""
        wait = (
            "" if here else f" If that job is dead, wait until the lock is {STALE_SECONDS:g} s old (now {idle:.0f} s)."
        )
        return (
            f"{self.folder} is being written by process {pid} on {host}. Wait until it has finished, or choose another "
            f"output; two writers would compute the same paths twice.{'' if here else wait}"
        )

    def _idle(self) -> float:
        """Seconds since the lock was touched, by the clock of the file system."""
        probe = self.path.with_suffix(f".clock-{socket.gethostname()}-{os.getpid()}")
        try:
            probe.touch()
            return probe.stat().st_mtime - self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0
        finally:
            probe.unlink(missing_ok=True)

    def _touch(self) -> None:
        while not self._leave.wait(TOUCH_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def _born(pid: int) -> int:
    """Return when a process of this host started, in ticks since boot; 0 if it does not live or cannot be known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if fields[0] in "ZX" else int(fields[19])  # killed, but not yet buried by its parent
    except (OSError, ValueError, IndexError):
        pass
    try:  # no /proc: whether it lives is all there is
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return 0
    except PermissionError:
        return 1
    return 1 if pid > 0 else 0
