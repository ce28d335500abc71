"""The public paths of a 2D elastoplastic composite (bessagroup/MF-VeBRNN, BSD-3-Clause): how they are read."""

from pathlib import Path

import h5py
import numpy as np

from pointlaw.data import Dataset, DatasetCard, Units
from pointlaw.tensors import PLANE_STRAIN, SQRT2

DATA = Path(__file__).parents[2] / "shared" / "data" / "rve2d_paths.h5"


def load(path: Path) -> Dataset:
    """Return the public paths as a dataset in Mandel order."""
    with h5py.File(path) as file:
        arrays = {name: np.array(file[name]) for name in ("strain", "stress")}
    mandel = {name: np.stack([a[..., 0, 0], a[..., 1, 1], SQRT2 * a[..., 0, 1]], -1) for name, a in arrays.items()}
    card = DatasetCard(
        kinematics=PLANE_STRAIN.name,
        units=Units(stress="unit of the source", time="step"),
        teacher="2D composite of an elastoplastic matrix (E = 100) with 30 % inclusions, from bessagroup/MF-VeBRNN",
    )
    return Dataset(time=np.arange(mandel["strain"].shape[1], dtype=float), card=card, **mandel)
