"""Shards: one file a rank, to which finished paths are appended, each in a frame with its length and its hash.

A path is there when its frame is whole and the hash fits; whatever a kill, a full disk or a bad sector leaves behind is
not a path and is computed again. The content of a frame is a safetensors file, so it can be read without this package.
"""

import contextlib
import hashlib
import json
import logging
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from pointlaw.tensors import Array

log = logging.getLogger(__name__)

MARK = b"pointlaw path 1\n"
_HEAD = struct.Struct("<16sQQ32s")  # mark, index, length, SHA-256 of index and content
SYNC_SECONDS = 1.0
CHUNK = 1 << 20


@dataclass(frozen=True)
class PathRecord:
    """One path as it was computed.

    Attributes
    ----------
    index : int
        Which path of the plan.
    time, strain, stress : [k], [k, m], [k, m]
        As far as the path went: ``k`` is the number of all times if ``reason`` is empty.
    tangent : [k, m, m] or None
        Consistent tangents, if they were asked for.
    energy, dissipation : [k] or None
        Stored and dissipated energy per volume, if they were asked for.
    reason : str
        Why the path stopped early; empty if it did not.
    cuts : int
        How often a step was cut.
    seconds : float
        Wall time of the path (of its batch, divided by the paths in it).
    rank : int
        Who computed it.
    """

    index: int
    time: Array
    strain: Array
    stress: Array
    tangent: Array | None = None
    reason: str = ""
    cuts: int = 0
    seconds: float = 0.0
    rank: int = 0
    energy: Array | None = None
    dissipation: Array | None = None

    def to_bytes(self) -> bytes:
        """Return the record as a safetensors file."""
        arrays = {"time": self.time, "strain": self.strain, "stress": self.stress}
        optional = {"tangent": self.tangent, "energy": self.energy, "dissipation": self.dissipation}
        arrays |= {name: values for name, values in optional.items() if values is not None}
        notes = {k: v for k, v in asdict(self).items() if k in ("index", "reason", "cuts", "seconds", "rank")}
        tensors = {k: np.ascontiguousarray(v, dtype="<f8") for k, v in arrays.items()}
        return bytes(save_tensors(tensors, {"path": json.dumps(notes)}))

    @classmethod
    def from_bytes(cls, content: bytes) -> "PathRecord":
        """Return the record that :meth:`to_bytes` wrote."""
        (length,) = struct.unpack_from("<Q", content)
        notes: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["path"])
        arrays: dict[str, Any] = load_tensors(content)
        return cls(**arrays, **notes)


class ShardWriter:
    """Appends paths to a shard; each is visible whole or not at all.

    The file is flushed to the disk at least once a second of writing and on :meth:`close`: a killed process loses
    nothing that was written, a power cut the last second.

    Raises
    ------
    OSError
        If the disk refuses (it is full, or read only); the sentence names the file, which keeps its last whole path.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise OSError(error.errno, f"{path} cannot be opened for writing: {error.strerror}") from error
        self._synced = time.monotonic()

    def append(self, record: PathRecord) -> None:
        """Write one path."""
        content = record.to_bytes()
        frame = _HEAD.pack(MARK, record.index, len(content), _digest(record.index, content)) + content
        before = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(frame):
                written += os.write(self._file, frame[written:])
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._file)
                self._synced = time.monotonic()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, before)
            raise OSError(
                error.errno,
                f"Path {record.index} cannot be written to {self.path}: {error.strerror}. The paths before it are "
                "safe; make room and start the same command again",
            ) from error

    def close(self) -> None:
        """Flush the file to the disk and close it."""
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)


def read_shard(path: Path) -> Iterator[PathRecord]:
    """Give the paths of a shard whose frames are whole and whose hashes fit; what lies between is skipped."""
    for _, _, content in _frames(path):
        yield PathRecord.from_bytes(content)


def repair_shard(path: Path) -> set[int]:
    """Cut off what follows the last whole frame of a shard, and return the indices of its paths.

    Only who holds the lock of the output may call this.
    """
    frames = [(end, index) for end, index, _ in _frames(path)]
    end = frames[-1][0] if frames else 0
    if (size := path.stat().st_size) > end:
        log.warning("%s: %d bytes of an unfinished path are dropped.", path, size - end)
        with path.open("rb+") as file:
            file.truncate(end)
    return {index for _, index in frames}


def _frames(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Give the end, the index and the content of every sound frame."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start + _HEAD.size <= size:
            file.seek(start)
            mark, index, length, digest = _HEAD.unpack(file.read(_HEAD.size))
            end = start + _HEAD.size + length
            whole = mark == MARK and end <= size
            content = file.read(length) if whole else b""
            if whole and _digest(index, content) == digest:
                yield end, index, content
                start = end
                continue
            if whole:
                log.warning("%s: the path at byte %d does not fit its hash and is dropped.", path, start)
            start = _next_mark(file, start + 1)


def _next_mark(file: Any, start: int) -> int:
    """Return where the next frame may begin, or the end of the file."""
    while True:
        file.seek(start)
        block = file.read(CHUNK)
        if (place := block.find(MARK)) >= 0:
            return start + place
        if len(block) < CHUNK:
            return start + len(block)
        start += CHUNK - len(MARK) + 1


def _digest(index: int, content: bytes) -> bytes:
    return hashlib.sha256(struct.pack("<Q", index) + content).digest()
