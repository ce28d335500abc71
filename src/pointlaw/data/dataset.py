"""Load histories with their answers: the food of training and the yardstick of the audit.

A :class:`Dataset` is a handful of arrays with named axes (``n`` paths, ``t`` times, ``m`` components) and a
:class:`DatasetCard`. Row 0 in time is the virgin material; every further row is one step of the law. All paths of a
dataset have the same number of times; ``store`` keeps it in HDF5.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from pointlaw.data.card import DatasetCard, Units
from pointlaw.errors import InputError
from pointlaw.tensors import Array, Kinematics

OPTIONAL = ("tangent", "energy", "dissipation")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Paths with answers.

    Attributes
    ----------
    time : [n, t]
        Times, strictly increasing; ``[t]`` is accepted and repeated for all paths. Unit of time.
    strain : [n, t, m]
        Total strain (or deformation gradient) in the order of the kinematics.
    stress : [n, t, m]
        Conjugate stress, unit of stress.
    card : DatasetCard
        Kinematics, units and provenance.
    tangent : [n, t, m, m], optional
        Consistent tangent of the step that ends at each time, unit of stress.
    energy, dissipation : [n, t], optional
        Stored and dissipated energy per volume, unit of stress.

    Notes
    -----
    Raises ``InputError`` when shapes, kinematics or numbers do not fit.
    """

    time: Array
    strain: Array
    stress: Array
    card: DatasetCard
    tangent: Array | None = None
    energy: Array | None = None
    dissipation: Array | None = None

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            object.__setattr__(self, name, np.ascontiguousarray(array, dtype=np.float64))
        if self.strain.ndim != 3 or self.strain.shape[-1] != self.kinematics.size:
            raise InputError(
                f"The strain of a dataset with kinematics {self.kinematics} has shape [n, t, {self.kinematics.size}]; "
                f"got {list(self.strain.shape)}."
            )
        if self.time.ndim == 1:
            object.__setattr__(self, "time", np.tile(self.time, (len(self.strain), 1)))
        self._check_shapes()
        self._check_numbers()

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays that are there, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "card"}
        return {name: array for name, array in named.items() if array is not None}

    @property
    def kinematics(self) -> Kinematics:
        """Strain measure, conjugate stress and their components."""
        return self.card.measure

    @property
    def units(self) -> Units:
        """Names of the units of stress, strain and time."""
        return self.card.units

    @property
    def paths(self) -> int:
        """Number of paths ``n``."""
        return len(self.strain)

    @property
    def times(self) -> int:
        """Number of times ``t``, the virgin row included."""
        return self.strain.shape[1]

    @property
    def sha256(self) -> str:
        """Hash over the names, shapes and bytes of all arrays; the card is not part of it."""
        digest = hashlib.sha256()
        for name, array in sorted(self.arrays.items()):
            digest.update(f"{name}{list(array.shape)}".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()

    def subset(self, rows: Sequence[int] | np.ndarray | slice) -> "Dataset":
        """Return the paths ``rows``."""
        return Dataset(**{name: array[rows] for name, array in self.arrays.items()}, card=self.card)

    def split(self, *fractions: float, seed: int = 0) -> tuple["Dataset", ...]:
        """Deal the paths at random into parts, one a fraction; the fractions sum to at most 1.

        >>> train, validation, test = dataset.split(0.7, 0.15, 0.15)

        Raises ``InputError`` when a part would be empty.
        """
        if not fractions or min(fractions) <= 0 or sum(fractions) > 1 + 1e-12:
            raise InputError(f"The fractions of a split are > 0 and sum to at most 1; got {fractions}.")
        order = np.random.default_rng(seed).permutation(self.paths)
        ends = np.round(np.cumsum((0.0, *fractions)) * self.paths).astype(int)
        if np.any(np.diff(ends) == 0):
            raise InputError(f"{self.paths} paths are too few for a split into fractions {fractions}.")
        return tuple(self.subset(order[a:b]) for a, b in itertools.pairwise(ends))

    def _check_shapes(self) -> None:
        n, t, m = self.strain.shape
        if n == 0 or t < 2:
            raise InputError(f"A dataset needs at least one path and two times; got n = {n}, t = {t}.")
        expected = {"time": (n, t), "strain": (n, t, m), "stress": (n, t, m), "tangent": (n, t, m, m)}
        for name, array in self.arrays.items():
            shape = expected.get(name, (n, t))
            if array.shape != shape:
                raise InputError(f"The dataset's {name} has shape {list(array.shape)}; expected {list(shape)}.")

    def _check_numbers(self) -> None:
        for name, array in self.arrays.items():
            bad = np.flatnonzero(~np.isfinite(array.reshape(self.paths, -1)).all(axis=1))
            if len(bad):
                raise InputError(
                    f"The dataset's {name} is not finite in {len(bad)} of {self.paths} paths (first: path {bad[0]}); "
                    "drop these with subset() or find out why the teacher failed."
                )
        late = np.flatnonzero((np.diff(self.time, axis=1) <= 0).any(axis=1))
        if len(late):
            raise InputError(f"The times of path {late[0]} do not increase; each step needs a length > 0.")


def merge(parts: Sequence[Dataset]) -> Dataset:
    """Join datasets of the same kinematics, units, teacher and number of times, path after path.

    Optional arrays survive if every part has them, the stiffness on the card if it is that of every part (to 1e-9).
    Raises ``InputError`` when the parts do not belong together.
    """
    if not parts:
        raise InputError("There is nothing to merge: the list of datasets is empty.")
    first = parts[0]
    for number, part in enumerate(parts):
        for name in ("kinematics", "units", "teacher"):
            mine, other = getattr(first.card, name), getattr(part.card, name)
            if mine != other:
                raise InputError(
                    f"Dataset {number} has {name} '{other}', the first has '{mine}'; they cannot be merged."
                )
        if part.times != first.times:
            raise InputError(
                f"Dataset {number} has {part.times} times, the first has {first.times}; resample one of them."
            )
    shared = [name for name in first.arrays if all(name in part.arrays for part in parts)]
    joined = {name: np.concatenate([part.arrays[name] for part in parts]) for name in shared}
    seeds = sorted({seed for part in parts for seed in part.card.seeds})
    stiffness = first.card.stiffness if _same([part.card.stiffness for part in parts]) else None
    return Dataset(**joined, card=first.card.model_copy(update={"seeds": seeds, "stiffness": stiffness}))


def _same(stiffnesses: Sequence[list[list[float]] | None]) -> bool:
    """Whether all tangents at rest are known, and the first one to 1e-9 of its norm."""
    if any(stiffness is None for stiffness in stiffnesses):
        return False
    C = np.array(stiffnesses)
    return bool((np.linalg.norm(C - C[0], axis=(1, 2)) <= 1e-9 * np.linalg.norm(C[0])).all())
