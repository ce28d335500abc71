"""From the shards of all ranks to one dataset: the finished paths in the order of their index, the failed ones beside.

``dataset.h5`` is an ordinary dataset with two more arrays, the index and the wall time of every path; ``failed.h5``
holds the paths that stopped early, as far as they went, with the reason. Both are made from the shards alone, whoever
wrote them, and appear whole or not at all.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pointlaw.data import Dataset, DatasetCard, replacing, save_dataset
from pointlaw.data.dataset import OPTIONAL
from pointlaw.rve.shards import PathRecord, read_shard

log = logging.getLogger(__name__)


def shard_path(folder: Path, rank: int) -> Path:
    """Return the file to which ``rank`` writes."""
    return folder / "shards" / f"rank-{rank:05d}.shard"


def shard_paths(folder: Path) -> list[Path]:
    """Return the shards of an output, also those of ranks of earlier runs."""
    return sorted((folder / "shards").glob("rank-*.shard"))


def read_paths(folder: str | Path) -> list[PathRecord]:
    """Return all paths of an output so far, finished and failed, in the order of their index.

    It may be called while a run is writing.
    """
    records = {record.index: record for shard in shard_paths(Path(folder)) for record in read_shard(shard)}
    return [records[index] for index in sorted(records)]


def write_dataset(folder: Path, card: DatasetCard, records: Sequence[PathRecord]) -> Path | None:
    """Write ``dataset.h5`` from the finished paths and return its name, or ``None`` if there are none."""
    good = [record for record in records if not record.reason]
    if not good:
        return None
    optional: dict[str, Any] = {}
    for name in OPTIONAL:
        found = [values for record in good if (values := getattr(record, name)) is not None]
        optional[name] = np.stack(found) if len(found) == len(good) else None
    dataset = Dataset(
        time=np.stack([record.time for record in good]),
        strain=np.stack([record.strain for record in good]),
        stress=np.stack([record.stress for record in good]),
        card=card,
        **optional,
    )
    path = folder / "dataset.h5"
    with replacing(path) as temporary:
        save_dataset(temporary, dataset)
        with h5py.File(temporary, "a") as file:
            notes = {
                "index": (np.array([record.index for record in good]), "1"),
                "wall_time": (np.array([record.seconds for record in good]), "s"),
                "cuts": (np.array([record.cuts for record in good]), "1"),
            }
            for name, (values, unit) in notes.items():
                stored = file.create_dataset(f"paths/{name}", data=values)
                stored.attrs["unit"] = unit
                stored.dims[0].label = "path"
    return path


def write_failed(folder: Path, card: DatasetCard, records: Sequence[PathRecord]) -> Path | None:
    """Write ``failed.h5``, one group a failed path, and return its name, or ``None`` if every path was finished."""
    path = folder / "failed.h5"
    failed = [record for record in records if record.reason]
    if not failed:
        path.unlink(missing_ok=True)
        return None
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["card"] = card.model_dump_json()
        for record in failed:
            group = file.create_group(f"path-{record.index:07d}")
            group.attrs["index"], group.attrs["reason"] = record.index, record.reason
            group.attrs["wall_time"], group.attrs["cuts"] = record.seconds, record.cuts
            for name in ("time", "strain", "stress"):
                group.create_dataset(name, data=getattr(record, name))
    return path
