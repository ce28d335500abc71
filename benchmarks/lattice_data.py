"""The public data of two soft beam lattices: how they are read, and what an objective cubic energy can follow of them.

Homogenised responses of the cells X (diagonals of the cube) and BCC (diagonals and edges), five load paths each
(Fernández et al. 2020, doi 10.1007/s00466-020-01954-7, CC BY 4.0).
"""

from pathlib import Path

import numpy as np

from pointlaw.networks.structure import cubic_rotations

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"
OUT = Path(__file__).parent / "out"
CELLS = ("X", "BCC")
PATHS = ("uniaxial", "biaxial", "planar", "shear", "volumetric")
REST = np.eye(3).reshape(9)
Paths = dict[str, tuple[np.ndarray, np.ndarray]]
Table = dict[str, dict[str, float]]


def read(folder: Path, cell: str) -> Paths:
    """Return ``F[t, 9]`` and ``P[t, 9]`` (Pa) of the five paths; ends the program when the folder has none."""
    missing = [name for name in PATHS if not (folder / f"lattice_{cell}_{name}.txt").exists()]
    if missing:
        raise SystemExit(f"'{folder}' has no paths {', '.join(missing)} of the cell {cell}: name the folder by --data")
    tables = {name: np.loadtxt(folder / f"lattice_{cell}_{name}.txt") for name in PATHS}
    return {name: (table[:, :9], table[:, 9:18]) for name, table in tables.items()}


def rest_row(F: np.ndarray) -> int:
    """Return the row of ``F[t, 9]`` that is the undeformed state."""
    return int(np.abs(F - REST).sum(1).argmin())


def branches(F: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows of the compressed and of the stretched part of a path, each from the undeformed state on."""
    rest = rest_row(F)
    parts = {"compression": np.arange(rest, -1, -1), "tension": np.arange(rest, len(F))}
    return {name: rows for name, rows in parts.items() if len(rows) > 1}


def symmetric_part(F: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return what an objective energy of cubic symmetry can follow of the stresses ``P[t, 9]``.

    ``F⁻¹P`` must be symmetric and have the rotations of the cube that leave ``C`` as it is.
    """
    f = F.reshape(-1, 3, 3)
    C, S = f.swapaxes(1, 2) @ f, np.linalg.solve(f, P.reshape(-1, 3, 3))
    turns = cubic_rotations()[:, None]
    keeps = np.abs(turns @ C @ turns.swapaxes(2, 3) - C).max((2, 3), keepdims=True) < 1e-9
    turned = turns @ (0.5 * (S + S.swapaxes(1, 2))) @ turns.swapaxes(2, 3)
    return (f @ ((turned * keeps).sum(0) / keeps.sum(0))).reshape(-1, 9)


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return ‖found − wanted‖/‖wanted‖."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def show(title: str, rows: Table) -> None:
    """Print a table in percent: a row for each path, a column for each figure."""
    columns = list(next(iter(rows.values())))
    print(f"{title:18}" + "".join(f"{name:>19}" for name in columns))
    for name, row in rows.items():
        print(f"{name:18}" + "".join(f"{100 * row[column]:19.2f}" for column in columns), flush=True)
