"""Write a file so that a reader sees the old one or the new one, never half of it.

The content goes to a temporary file in the same folder, reaches the disk (fsync), and then takes the name in one
step (rename). A kill or a full disk leaves the old file as it was and the error names the file.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pointlaw.errors import InputError


def check_writable(path: str | Path) -> None:
    """Raise ``InputError`` unless the file ``path`` could be written; ask before long work, for nothing is made.

    Folders that are missing above it are no fault: who writes the file makes them.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it.")
    nearest = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if nearest != path.absolute() and not nearest.is_dir():
        raise InputError(f"{path} cannot be written: {nearest} is not a folder; choose another place.")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"{path} cannot be written: {nearest} may not be written to; choose another place.")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to; on leaving without an error it becomes ``path``, otherwise it vanishes.

    Raises ``OSError`` with a sentence that names ``path`` when the disk refuses.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files that only the owner reads; give the rights a plain open() would have given.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
