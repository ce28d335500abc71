"""Shards keep whole paths only, whatever happened to the file."""

import resource

import numpy as np
import pytest
from safetensors.numpy import load

from pointlaw.rve.shards import PathRecord, ShardWriter, read_shard, repair_shard


def record(index, size=5):
    rng = np.random.default_rng(index)
    strain, stress = rng.standard_normal((2, size, 3))
    return PathRecord(index, np.arange(size) * 0.1, strain, stress, reason="", cuts=index, seconds=0.25, rank=1)


def write(path, indices):
    writer = ShardWriter(path)
    for index in indices:
        writer.append(record(index))
    writer.close()


def same(first, second):
    arrays = ("time", "strain", "stress")
    notes = ("index", "reason", "cuts", "seconds", "rank")
    return all(np.array_equal(getattr(first, n), getattr(second, n)) for n in arrays) and all(
        getattr(first, n) == getattr(second, n) for n in notes
    )


def test_a_path_comes_back_as_it_was_written(tmp_path):
    write(tmp_path / "a.shard", [3, 1])
    found = list(read_shard(tmp_path / "a.shard"))
    assert len(found) == 2
    assert all(same(a, record(b)) for a, b in zip(found, [3, 1], strict=True))


def test_a_path_can_be_read_without_this_package(tmp_path):
    write(tmp_path / "a.shard", [3])
    tensors = load((tmp_path / "a.shard").read_bytes()[64:])
    assert np.array_equal(tensors["stress"], record(3).stress)


def test_wherever_a_kill_cuts_the_file_the_whole_paths_remain_and_writing_goes_on(tmp_path):
    path = tmp_path / "a.shard"
    write(path, [0, 1, 2])
    whole = path.read_bytes()
    length = len(whole) // 3
    for size in sorted({*range(0, len(whole), 13), *(k * length + d for k in (1, 2) for d in (-1, 0, 1))}):
        path.write_bytes(whole[:size])
        assert repair_shard(path) == set(range(size // length))
        assert path.stat().st_size == size // length * length
    write(path, [7])
    assert [r.index for r in read_shard(path)] == [0, 1, 7]


def test_a_flipped_bit_costs_its_path_and_no_other(tmp_path, caplog):
    path = tmp_path / "a.shard"
    write(path, [0, 1, 2])
    whole = bytearray(path.read_bytes())
    length = len(whole) // 3
    for place in (length + 3, length + 20, length + 40, length + 70, 2 * length - 1):
        broken = bytearray(whole)
        broken[place] ^= 4
        path.write_bytes(broken)
        assert [r.index for r in read_shard(path)] == [0, 2], place
    assert repair_shard(path) == {0, 2}
    assert path.stat().st_size == len(whole)
    assert "does not fit its hash" in caplog.text


def test_a_full_disk_names_the_file_and_leaves_no_half_path(tmp_path):
    path = tmp_path / "a.shard"
    write(path, [0, 1])
    size = path.stat().st_size
    writer = ShardWriter(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))  # the system refuses to let a file grow beyond this
    try:
        with pytest.raises(OSError, match=r"Path 2 cannot be written to .*a\.shard"):
            writer.append(record(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == size
    writer.append(record(2))  # there is room again
    writer.close()
    assert [r.index for r in read_shard(path)] == [0, 1, 2]
