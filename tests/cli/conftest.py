import sys

import pytest

from pointlaw.cli import main


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs one command: (exit status, stdout, stderr)."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["pointlaw", *map(str, words)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own; give ours back afterwards
        with pytest.raises(SystemExit) as end:
            main()
        return (end.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def pointlaw(command, monkeypatch):
    """Return ``command`` for what must do without MPI."""
    monkeypatch.setitem(sys.modules, "pointlaw.fem.mpi", None)
    return command
