"""What all tests share: one thread, one width of lines, the same draws in any order, and tests that run under mpirun.

What a test draws does not depend on the tests before it: torch's own generator, and a NumPy generator called ``RNG`` at
the top of a test file, start anew with every test.

``@pytest.mark.mpi(ranks=3)`` or ``@pytest.mark.mpi(ranks=(1, 2, 3))`` marks a test that runs on so many ranks. An
ordinary ``python -m pytest`` collects such tests, starts ``mpiexec -n N python -m pytest`` once for all tests of a file
that want N ranks, and reports each as if it ran here: passed when it passed on every rank. A test that fails on one
rank ends that job, and a new job takes the tests that are left, so nothing hangs. Fixtures of a marked test are made on
every rank *and* by the pytest that starts the job: keep them cheap. The fixture ``mpirun`` starts whole programs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

# Read when NumPy and torch are loaded, which happens later than this.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# What is printed depends on the terminal of who runs the tests, and on services that force colours; no test may.
for variable in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(variable, None)
os.environ["COLUMNS"] = "80"

JOURNAL = "POINTLAW_TEST_JOURNAL"  # set in the pytest processes that mpiexec starts: where each rank writes outcomes
SECONDS = 60.0  # for one marked test; @pytest.mark.mpi(ranks=2, timeout=120) gives it more
_outcomes: dict[str, tuple[str, str]] = {}  # what the jobs reported: test -> (outcome, text)
_beginnings: dict[str, dict] = {}  # test file -> the state of its RNG when it was imported


def start_ranks(ranks, arguments, *, timeout=60.0, cwd=None, env=None):
    """Run ``mpiexec -n ranks python arguments...`` and return its CompletedProcess with stdout and stderr as text.

    The mpiexec beside this Python wins over the one on PATH. After ``timeout`` seconds the whole job is killed and the
    test fails with what was printed so far.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        pytest.skip("there is no mpiexec")
    command = [launcher, "-n", str(ranks), sys.executable, *map(str, arguments)]
    # Open MPI refuses root and more ranks than cores unless told; MPICH does not read these.
    lenient = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    lenient["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, **lenient, **(env or {})}
    with subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **pipes) as job:
        try:
            out, err = job.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            out, err = job.communicate()
            pytest.fail(f"{' '.join(command)} did not end within {timeout} s.\n{out[-4000:]}\n{err[-4000:]}")
    return subprocess.CompletedProcess(command, job.returncode, out, err)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Put the shared generators back to where they began, before any fixture draws."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
    module = getattr(item, "module", None)
    if rng := getattr(module, "RNG", None):
        rng.bit_generator.state = _beginnings.setdefault(module.__name__, rng.bit_generator.state)


@pytest.fixture
def mpirun():
    """Return :func:`start_ranks`: ``mpirun(2, ["program.py", "--fast"], timeout=30).returncode``."""
    return start_ranks


@pytest.fixture
def shared_path(tmp_path) -> Path:
    """Return an empty folder, the same on all ranks of a marked test."""
    if JOURNAL not in os.environ:
        return tmp_path
    from mpi4py import MPI

    return MPI.COMM_WORLD.bcast(tmp_path)


def pytest_generate_tests(metafunc):
    """Repeat a marked test for each of its rank counts; it may take ``ranks`` as an argument."""
    mark = metafunc.definition.get_closest_marker("mpi")
    if mark and "ranks" in mark.kwargs:
        ranks = mark.kwargs["ranks"]
        if "ranks" not in metafunc.fixturenames:
            metafunc.fixturenames.append("ranks")
        metafunc.parametrize("ranks", [ranks] if isinstance(ranks, int) else list(ranks))


def _ranks(item) -> int | None:
    mark = item.get_closest_marker("mpi")
    return item.callspec.params["ranks"] if mark and "ranks" in mark.kwargs else None


def _seconds(item) -> float:
    return item.get_closest_marker("mpi").kwargs.get("timeout", SECONDS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Each rank of a job watches its own tests; the pytest that starts the job must not, it waits for all of them."""
    for item in items:
        if _ranks(item):
            item.add_marker(pytest.mark.timeout(_seconds(item) if JOURNAL in os.environ else 0), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Replace the call of a marked test by what its ranks reported."""
    ranks = _ranks(pyfuncitem)
    if ranks is None or JOURNAL in os.environ:
        return None
    if pyfuncitem.nodeid not in _outcomes:
        group = [i for i in pyfuncitem.session.items if i.path == pyfuncitem.path and _ranks(i) == ranks]
        _run_group(ranks, [i for i in group if i.nodeid not in _outcomes])
    outcome, text = _outcomes[pyfuncitem.nodeid]
    if outcome == "skipped":
        pytest.skip(text)
    if outcome == "failed":
        pytest.fail(text, pytrace=False)
    return True


def _run_group(ranks, items) -> None:
    """Run tests on ``ranks`` ranks until each has an outcome; a job that dies gives way to one for the rest."""
    left = {item.nodeid: item for item in items}
    while left:
        with tempfile.TemporaryDirectory() as journal:
            arguments = ["-m", "pytest", "-qs", "-p", "no:cacheprovider", *left]
            limit = 60 + sum(map(_seconds, left.values()))
            root = str(items[0].config.rootpath)
            job = start_ranks(ranks, arguments, timeout=limit, cwd=root, env={JOURNAL: journal})
            found = _read_journals(Path(journal), ranks)
        done = {test: result for test, result in found.items() if test in left}
        if not done:  # died before any test ended: blame the first, so that the rest get their turn
            tail = f"{job.stdout[-6000:]}\n{job.stderr[-6000:]}"
            done = {next(iter(left)): ("failed", f"the job on {ranks} ranks ended with {job.returncode}:\n{tail}")}
        _outcomes.update(done)
        left = {test: item for test, item in left.items() if test not in done}


def _read_journals(folder: Path, ranks: int) -> dict[str, tuple[str, str]]:
    """Return the outcome of every test that ended on all ranks, or that failed on any."""
    reports: dict[str, dict[int, tuple[str, str]]] = {}
    for rank in range(ranks):
        path = folder / f"rank-{rank}.jsonl"
        for line in path.read_text().splitlines() if path.exists() else ():
            test, outcome, text = json.loads(line)
            reports.setdefault(test, {})[rank] = (outcome, f"[rank {rank} of {ranks}] {text}")
    joined = {}
    for test, by_rank in reports.items():
        failures = [text for outcome, text in by_rank.values() if outcome == "failed"]
        if failures:
            joined[test] = ("failed", "\n".join(failures))
        elif len(by_rank) == ranks:
            joined[test] = min(by_rank.values(), key=lambda report: report[0] != "skipped")
    return joined


def pytest_runtest_logreport(report):
    """On a rank: write down each outcome; end the job after a failure, for the others may wait for this rank."""
    if JOURNAL not in os.environ:
        return
    from mpi4py import MPI

    if report.failed or report.skipped or report.when == "call":
        text = str(report.longrepr[2]) if report.skipped else report.longreprtext
        with (Path(os.environ[JOURNAL]) / f"rank-{MPI.COMM_WORLD.rank}.jsonl").open("a") as journal:
            journal.write(json.dumps((report.nodeid, report.outcome, text)) + "\n")
    if report.failed:
        time.sleep(0.5)  # ranks that fail alike get to write that down
        MPI.COMM_WORLD.Abort(1)
