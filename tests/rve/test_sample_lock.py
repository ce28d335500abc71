"""One writer an output, and no lock that outlives its writer."""

import json
import os
import socket
import subprocess
import sys

import pytest

from pointlaw.errors import InputError
from pointlaw.rve import lock
from pointlaw.rve.lock import OutputLock


def test_a_second_writer_is_refused_with_a_sentence_until_the_first_has_left(tmp_path):
    with OutputLock(tmp_path):
        with pytest.raises(InputError, match=f"being written by process {os.getpid()} on"), OutputLock(tmp_path):
            pass
        assert (tmp_path / "writer.lock").exists()
    with OutputLock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def leave_a_lock(folder, **changes):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    born = lock._born(child.pid)
    child.wait()
    content = {"host": socket.gethostname(), "pid": child.pid, "born": born} | changes
    (folder / "writer.lock").write_text(json.dumps(content))


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    leave_a_lock(tmp_path)
    with OutputLock(tmp_path):
        assert json.loads((tmp_path / "writer.lock").read_text())["pid"] == os.getpid()


def test_the_lock_of_a_dead_process_whose_number_lives_again_is_taken_over(tmp_path):
    leave_a_lock(tmp_path, pid=os.getpid())
    with OutputLock(tmp_path):
        pass


def test_a_lock_of_another_host_holds_until_nobody_has_touched_it_for_a_while(tmp_path):
    leave_a_lock(tmp_path, host="node17")
    with (
        pytest.raises(InputError, match=r"process \d+ on node17.*wait until the lock is 120 s old"),
        OutputLock(tmp_path),
    ):
        pass
    stat = (tmp_path / "writer.lock").stat()
    os.utime(tmp_path / "writer.lock", (stat.st_atime, stat.st_mtime - 121))
    with OutputLock(tmp_path):
        pass


def test_a_living_writer_touches_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "TOUCH_SECONDS", 0.02)
    path = tmp_path / "writer.lock"
    with OutputLock(tmp_path):
        os.utime(path, (0, 0))
        for _ in range(200):
            if path.stat().st_mtime > 0:
                break
            lock.threading.Event().wait(0.01)
        assert path.stat().st_mtime > 0
