import h5py
import numpy as np
import pytest

from pointlaw.data import check_writable, load_dataset, save_dataset
from pointlaw.errors import InputError


def test_a_dataset_comes_back_exactly(dataset, tmp_path) -> None:
    digest = save_dataset(tmp_path / "d.h5", dataset)
    loaded = load_dataset(tmp_path / "d.h5")
    assert loaded.sha256 == dataset.sha256 == digest
    assert loaded.card == dataset.card
    assert loaded.arrays.keys() == dataset.arrays.keys()


def test_the_file_says_what_its_axes_and_units_are(dataset, tmp_path) -> None:
    save_dataset(tmp_path / "d.h5", dataset)
    with h5py.File(tmp_path / "d.h5") as file:
        assert [axis.label for axis in file["strain"].dims] == ["path", "time", "component"]
        assert (file["stress"].attrs["unit"], file["time"].attrs["unit"]) == ("MPa", "s")
        assert list(file.attrs["components"]) == ["11", "22", "√2·12"]


def test_damaged_numbers_are_found(dataset, tmp_path) -> None:
    save_dataset(tmp_path / "d.h5", dataset)
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        file["stress"][0, 1, 0] += 1e-9
    with pytest.raises(InputError, match="damaged"):
        load_dataset(tmp_path / "d.h5")


def test_missing_foreign_and_truncated_files_get_a_sentence(dataset, tmp_path) -> None:
    path = tmp_path / "d.h5"
    with pytest.raises(InputError, match="no dataset at"):
        load_dataset(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match="cannot be read"):
        load_dataset(path)
    with h5py.File(path, "w") as file:
        file["strain"] = np.zeros(3)
    with pytest.raises(InputError, match="not a pointlaw-dataset"):
        load_dataset(path)
    save_dataset(path, dataset)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read"):
        load_dataset(path)


def test_a_failed_write_leaves_the_old_file_and_no_rest(dataset, tmp_path, monkeypatch) -> None:
    path = tmp_path / "d.h5"
    save_dataset(path, dataset)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"d\.h5 cannot be written: No space left"):
        save_dataset(path, dataset.subset([0]))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_whether_a_file_could_be_written_is_told_and_nothing_is_made(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("x")
    for good in ("new.h5", "file", "a/b/new.h5"):
        check_writable(tmp_path / good)
    for bad, sentence in ((".", "is a folder"), ("file/a/b.h5", "file is not a folder")):
        with pytest.raises(InputError, match=sentence):
            check_writable(tmp_path / bad)
    monkeypatch.setattr("os.access", lambda place, mode: place != tmp_path)
    check_writable(tmp_path / "file")
    with pytest.raises(InputError, match=r"a/b/new\.h5 cannot be written: .* may not be written to"):
        check_writable(tmp_path / "a" / "b" / "new.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_named(dataset, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"file/d\.h5 cannot be written"):
        save_dataset(tmp_path / "file" / "d.h5", dataset)
