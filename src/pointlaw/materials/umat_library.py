"""Finding, trying and loading a UMAT library: everything that can be wrong with one is said here, before a run.

The library is first called in a child process with guard zones around its arrays, so that a crash, a STOP or a write
beyond an array ends the child and becomes a sentence. Then it is loaded next to the compiled driver.
"""

import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pointlaw.errors import EnvironmentProblem, InputError, PointlawError
from pointlaw.materials.umat_source import UMAT_DRIVER

CALLED_XIT = 1000
SYMBOLS = ("umat_", "umat", "UMAT")
TRIAL_SECONDS = 60

_TRIAL = r"""
import ctypes, json, sys
job = json.loads(sys.argv[1])
driver = ctypes.CDLL(job["driver"], mode=ctypes.RTLD_GLOBAL)
library = ctypes.CDLL(job["library"], mode=2)
routine = ctypes.cast(getattr(library, job["symbol"]), ctypes.c_void_p)
n, nstatv, props = job["ntens"], len(job["statev"]), job["props"]
pad, mark = 64, -7.25e77
def array(values): return (ctypes.c_double * (len(values) + pad))(*values, *[mark] * pad)
report = {"zero": [], "over": [], "bad": []}
reached = ctypes.c_int(0)
for amount in (0.0, 1e-6):
    arrays = {"STRESS": array([0.0] * n), "STATEV": array(job["statev"]), "DDSDDE": array([0.0] * n * n)}
    inputs = array(props + [float("nan")] * 32)
    energy, time = array([0.0] * 3), array([0.0, 0.0])
    stran = array([0.0] * n)
    dstran = array([amount * (k + 1.0) * (-1.0) ** k for k in range(n)])
    pnewdt, kinc = array([1.0]), (ctypes.c_int * 1)(1)
    code = driver.pointlaw_umat(
        routine, job["library"].encode(), 0, 1, job["ndi"], n - job["ndi"], nstatv, len(props), inputs,
        job["name"].encode(), ctypes.c_double(job["dt"]), arrays["STRESS"], arrays["STATEV"], arrays["DDSDDE"],
        energy, stran, dstran, time, kinc, pnewdt, ctypes.byref(reached))
    if code:
        report["code"] = code
        break
    sizes = {"STRESS": n, "STATEV": nstatv, "DDSDDE": n * n}
    report["over"] += [name for name, a in arrays.items() if any(v != mark for v in a[sizes[name]:])]
    report["bad"] += [name for name, a in arrays.items() if any(v != v for v in a[:sizes[name]])]
    report["zero"] = [k + 1 for k in range(n) if all(arrays["DDSDDE"][k + n * j] == 0.0 for j in range(n))]
open(job["report"], "w").write(json.dumps(report))
"""


class UMATCrash(PointlawError):
    """The user's library crashed, stopped or called XIT; the message names the library, the signal and the point."""


@dataclass(frozen=True)
class UMATLibrary:
    """A loaded library: ``routine`` is the address of the UMAT, ``driver`` the compiled loop that calls it."""

    path: str
    sha256: str
    routine: ctypes.c_void_p
    driver: ctypes.CDLL


_LOADED: dict[str, str] = {}  # SHA-256 of every library in this process: the loader knows them by their paths alone


def load_umat(
    path: str | os.PathLike[str],
    *,
    ndi: int,
    ntens: int,
    statev: list[float],
    props: list[float],
    name: str,
    sha256: str | None = None,
) -> UMATLibrary:
    """Try the library in a child process, then load it.

    Raises
    ------
    InputError
        If the file is missing or no library, is not the one of ``sha256``, was rebuilt after this process loaded it,
        has no UMAT, misses other symbols, or writes where it must not.
    UMATCrash
        If the trial call crashed, stopped or did not return.
    EnvironmentProblem
        If there is no C compiler.
    """
    place = Path(path).expanduser().resolve()
    if not place.is_file():
        raise InputError(f"UMAT: there is no file {place}; build it with gfortran -shared -fPIC -o {place.name} FILE.f")
    found = hashlib.sha256(place.read_bytes()).hexdigest()
    if sha256 not in (None, found):
        raise InputError(
            f"UMAT: the library {place} has the SHA-256 {found}, not {sha256} as asked for; it was built anew. Use the "
            "old library, or leave sha256 out."
        )
    if _LOADED.get(str(place), found) != found:
        raise InputError(
            f"UMAT: the library {place} was rebuilt after this Python loaded it, and would answer with its old code; "
            "restart Python, or give the new library another name."
        )
    driver_path = _driver()
    driver = ctypes.CDLL(driver_path, mode=ctypes.RTLD_GLOBAL | os.RTLD_NOW)
    symbol = _symbol(place)
    job = {
        "driver": driver_path, "library": str(place), "symbol": symbol, "ndi": ndi, "ntens": ntens, "statev": statev,
        "props": props, "name": name.upper().ljust(80)[:80], "dt": 1.0,
    }  # fmt: skip
    _trial(place, job)
    library = ctypes.CDLL(str(place), mode=os.RTLD_NOW)
    _LOADED[str(place)] = found
    return UMATLibrary(str(place), found, ctypes.cast(getattr(library, symbol), ctypes.c_void_p), driver)


def crash_sentence(library: str, code: int, where: str) -> str:
    """Return the sentence for a signal number, or for ``CALLED_XIT``."""
    if code == CALLED_XIT:
        return f"The UMAT library {library} called XIT {where}: it found something it cannot work with; see its output."
    try:
        name = signal.Signals(code).name
    except ValueError:
        name = f"signal {code}"
    return (
        f"The UMAT library {library} crashed with {name} {where}; rebuild it with -g -fcheck=all -fbacktrace to "
        "find out why."
    )


def _symbol(place: Path) -> str:
    """Return the name under which the library has its UMAT, looking in a child process."""
    script = (
        "import ctypes,sys,os\nctypes.CDLL(sys.argv[1],mode=ctypes.RTLD_GLOBAL)\n"
        "lib=ctypes.CDLL(sys.argv[2],mode=os.RTLD_NOW)\n"
        "print('\\nSYMBOL',next((s for s in sys.argv[3:] if hasattr(lib,s)),'none'))"
    )
    done = _child(place, script, [_driver(), str(place), *SYMBOLS])
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("SYMBOL ")]
    if not found:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        raise InputError(f"UMAT: the library {place} cannot be loaded: {reason}")
    if found[0] == "none":
        raise InputError(
            f"UMAT: the library {place} has no symbol umat_ (nor umat, UMAT); a Fortran SUBROUTINE UMAT makes one, a C "
            "function must be called umat_."
        )
    return found[0]


def _trial(place: Path, job: dict[str, object]) -> None:
    """Call the UMAT twice in a child process and turn what went wrong into a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        report_path = Path(folder) / "report.json"
        done = _child(place, _TRIAL, [json.dumps({**job, "report": str(report_path)})])
        where = f"in a trial call with NTENS = {job['ntens']}"
        if done.returncode < 0:
            raise UMATCrash(crash_sentence(str(place), -done.returncode, where))
        if not report_path.exists():
            output = (done.stdout + done.stderr).strip().splitlines()
            said = f" It said: {output[-1]}" if output else ""
            raise UMATCrash(f"The UMAT library {place} ended the process (STOP or exit) {where}.{said}")
        report = json.loads(report_path.read_text())
    arguments = f"ntens = {job['ntens']}, nstatv = {len(job['statev'])}, {len(job['props'])} props"  # type: ignore[arg-type]
    if "code" in report:
        raise UMATCrash(crash_sentence(str(place), report["code"], f"{where}; it was given {arguments}"))
    if report["over"]:
        raise InputError(f"UMAT: {place} writes beyond {report['over'][0]}; it was given {arguments}.")
    if report["bad"]:
        raise InputError(
            f"UMAT: {place} answers NaN in {report['bad'][0]} for a tiny strain; it was given {arguments}. "
            "It may read more props than it got, or need initial state variables."
        )
    if report["zero"]:
        raise InputError(
            f"UMAT: {place} leaves rows {report['zero']} of DDSDDE zero; it seems to be written for another NTENS than "
            f"{job['ntens']}."
        )


def _child(place: Path, script: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a Python script without site packages in a child process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PMI", "OMPI", "HYDI"))}
    try:
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", script, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UMATCrash(f"The UMAT library {place} did not return within {TRIAL_SECONDS} s in a trial call.") from None


@cache
def _driver() -> str:
    """Compile the driver unless it is there already, and return its path."""
    flags = ["-O2", "-fPIC", "-shared"]
    key = hashlib.sha256(" ".join([UMAT_DRIVER, *flags, os.uname().machine]).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pointlaw"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise OSError
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="pointlaw-"))
    target = folder / f"umat-driver-{key}.so"
    if target.is_file():
        return str(target)
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise EnvironmentProblem("UMAT needs a C compiler for its loop over points; install gcc, or set CC.")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source, built = Path(scratch) / "driver.c", Path(scratch) / "driver.so"
        source.write_text(UMAT_DRIVER)
        done = subprocess.run(
            [compiler, *flags, str(source), "-o", str(built), "-lm"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise EnvironmentProblem(f"UMAT: {compiler} cannot compile the driver: {done.stderr.strip()[-400:]}")
        built.replace(target)  # in one go: other ranks may be doing the same
    return str(target)
