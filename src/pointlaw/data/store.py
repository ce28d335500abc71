"""Datasets in HDF5: named axes, units as attributes, the card as JSON, a hash over the numbers.

The file is written beside its name and renamed when it is whole, so a reader never meets half a dataset; reading
checks the hash, the shapes and the numbers before anything is returned.
"""

import json
from pathlib import Path

import h5py
import pydantic

from pointlaw.data.atomic import replacing
from pointlaw.data.card import DatasetCard
from pointlaw.data.dataset import OPTIONAL, Dataset
from pointlaw.errors import InputError

FORMAT = "pointlaw-dataset"
VERSION = 1
AXES = {
    "time": ("path", "time"),
    "strain": ("path", "time", "component"),
    "stress": ("path", "time", "component"),
    "tangent": ("path", "time", "component", "component"),
    "energy": ("path", "time"),
    "dissipation": ("path", "time"),
}


def save_dataset(path: str | Path, dataset: Dataset) -> str:
    """Write ``dataset`` to the HDF5 file ``path`` and return its hash."""
    units = dataset.card.units
    unit = {"time": units.time, "strain": units.strain}
    digest = dataset.sha256
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file.attrs["card"], file.attrs["sha256"] = dataset.card.model_dump_json(), digest
        file.attrs["components"] = list(dataset.kinematics.components)
        for name, array in dataset.arrays.items():
            stored = file.create_dataset(name, data=array)
            stored.attrs["unit"] = unit.get(name, units.stress)
            for axis, label in zip(stored.dims, AXES[name], strict=True):
                axis.label = label
    return digest


def load_dataset(path: str | Path) -> Dataset:
    """Read the HDF5 file ``path``.

    Raises ``InputError`` when the file is missing, not a dataset of ours, or not what was written.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no dataset at {path}.")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                raise InputError(f"{path} is not a {FORMAT} file of version {VERSION}.")
            card = DatasetCard.model_validate(json.loads(file.attrs["card"]))
            names = ["time", "strain", "stress", *(name for name in OPTIONAL if name in file)]
            arrays = {name: file[name][...] for name in names}
            digest = file.attrs["sha256"]
    except (OSError, KeyError, ValueError, RuntimeError, pydantic.ValidationError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as a dataset: {error}") from error
    dataset = Dataset(**arrays, card=card)
    if dataset.sha256 != digest:
        raise InputError(f"The numbers in {path} do not have the hash that was written with them; the file is damaged.")
    return dataset
