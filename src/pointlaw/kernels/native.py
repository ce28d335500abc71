"""Build a C source of this package with the host's compiler and open it through cffi.

The shared library is kept in the user's cache under a name made of everything it depends on: source, options, compiler
and the type of the processor, since native code of one processor may be illegal on another that shares the home folder.
It appears in one step, so ranks that build it at the same time do not disturb each other.
"""

import functools
import hashlib
import logging
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from pointlaw.environment import compiler, processor
from pointlaw.errors import EnvironmentProblem

log = logging.getLogger(__name__)

# Sums may be reordered, but NaN stays NaN: it is how a failed point speaks.
OPTIONS = (
    *("-std=gnu11", "-O3", "-march=native", "-fPIC", "-shared", "-g0"),
    *(
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fno-signed-zeros",
        "-fassociative-math",
        "-freciprocal-math",
        "-ffp-contract=fast",
    ),
)
FOLDER = Path(__file__).parent
SECONDS = 120


@functools.cache
def load_library(name: str) -> tuple[Any, Any]:
    """Return cffi's ``ffi`` and the library of ``name.c``, whose public part is ``name.h``; built if need be.

    Raises
    ------
    EnvironmentProblem
        If there is no C compiler, it fails, or its result cannot be kept or opened; the message says which.
    """
    try:
        import cffi
    except ImportError as error:
        raise EnvironmentProblem("Compiled kernels need the package cffi, which comes with DOLFINx.") from error
    ffi = cffi.FFI()
    ffi.cdef((FOLDER / f"{name}.h").read_text(encoding="utf-8"))
    path = _built(name)
    try:
        return ffi, ffi.dlopen(str(path))
    except OSError as error:
        raise EnvironmentProblem(
            f"The compiled kernel {path} cannot be opened: {error}. Delete it to build it anew."
        ) from error


def cache_folder() -> Path:
    """Return where the libraries of this type of processor lie."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "pointlaw" / f"native-{processor()}"


def _built(name: str) -> Path:
    """Return the library's file, building it if it is not there."""
    command = compiler()
    if command is None:
        raise EnvironmentProblem(
            "There is no C compiler on PATH, which the fast kernels are built with. On Debian or Ubuntu run: "
            "apt install gcc libc6-dev. Another compiler is named by CC=..."
        )
    # CC may carry options of its own.
    words = [command, *shlex.split(os.environ.get("CC", ""))[1:]]
    digest = hashlib.sha256(" ".join([*words, *OPTIONS]).encode())
    for source in sorted(FOLDER.glob("*.[ch]")):
        digest.update(source.read_bytes())
    path = cache_folder() / f"{name}-{digest.hexdigest()[:16]}.so"
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".so")
    except OSError as error:
        raise EnvironmentProblem(
            f"Compiled kernels cannot be kept in {path.parent} ({error.strerror}). Set XDG_CACHE_HOME to a folder you "
            "own."
        ) from error
    os.close(handle)
    try:
        call = [*words, *OPTIONS, str(FOLDER / f"{name}.c"), "-o", temporary, "-lm"]
        result = subprocess.run(call, text=True, capture_output=True, timeout=SECONDS)
        if result.returncode:
            raise EnvironmentProblem(f"The C compiler failed ({shlex.join(call)}): {result.stderr[-2000:]}")
        Path(temporary).replace(path)
        log.debug("built %s", path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentProblem(f"The C compiler {command} could not be run: {error}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path
