"""What a file of the user's says now is what is run."""

import os
import sys

import pytest

from pointlaw.errors import InputError
from pointlaw.materials.by_name import function_in_file


def test_a_file_that_is_written_anew_within_the_same_second_is_read_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # as it is unless somebody asks for it
    file, found = tmp_path / "own.py", []
    for answer in (1, 2):
        file.write_text(f"def make():\n    return {answer}\n")
        os.utime(file, (0, 1_000_000_000))  # the same time and the same size
        found.append(function_in_file("python", "own.py:make", tmp_path, module="test_by_name")())
    assert found == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["own.py"]  # nothing is left beside the user's file


def test_an_error_in_the_file_names_the_file_and_its_line(tmp_path):
    (tmp_path / "own.py").write_text("def make():\n    return 1 / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        function_in_file("python", "own.py:make", tmp_path, module="test_by_name")()
    assert caught.traceback[-1].path == tmp_path / "own.py"
    assert caught.traceback[-1].lineno == 1
    with pytest.raises(InputError, match="has no function 'made'"):
        function_in_file("python", "own.py:made", tmp_path, module="test_by_name")
