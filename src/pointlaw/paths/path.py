"""Load histories: what is prescribed at a material point, at which times, for many points at once.

A :class:`StrainPath` prescribes every strain component; a :class:`LoadPath` prescribes for each component either the
strain or the stress. Row 0 in time is the start, where the material is virgin; every further row is one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.tensors import SMALL_STRAIN_3D, Array, Kinematics


@dataclass(frozen=True, eq=False)
class StrainPath:
    """Strain histories of ``n`` points at common times.

    Attributes
    ----------
    times : [t]
        Strictly increasing, at least two, unit of time; ``times[0]`` is the start.
    strain : [n, t, m]
        Total strain (or deformation gradient) in the order of the kinematics; ``[t, m]`` is accepted for one path.
    kinematics : Kinematics
        Which strain this is.

    Raises
    ------
    InputError
        If a shape does not fit, a number is not finite, or the times do not increase.
    """

    times: Array
    strain: Array
    kinematics: Kinematics = SMALL_STRAIN_3D

    def __post_init__(self) -> None:
        times, strain = _checked("StrainPath", "strain", self.times, self.strain, self.kinematics)
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "strain", strain)

    def __len__(self) -> int:
        return len(self.strain)

    @property
    def steps(self) -> int:
        """Number of steps, one less than the number of times."""
        return len(self.times) - 1

    def select(self, paths: Sequence[int] | NDArray[np.intp] | slice) -> "StrainPath":
        """Return the paths with these positions."""
        return replace(self, strain=self.strain[paths])

    def refine(self, parts: int) -> "StrainPath":
        """Cut every step into ``parts`` equal steps; the path itself stays the same."""
        checks.whole("refine", parts=parts)
        places = np.arange(self.steps * parts + 1) / parts
        left = np.minimum(places.astype(int), self.steps - 1)
        share = places - left
        before, after = self.strain[:, left], self.strain[:, left + 1]
        # Written so that both ends of a step are met to the last bit.
        strain = (1.0 - share)[:, None] * before + share[:, None] * after
        return replace(self, times=(1.0 - share) * self.times[left] + share * self.times[left + 1], strain=strain)

    def subsample(self, every: int) -> "StrainPath":
        """Keep the start and every ``every``-th time after it; undoes :meth:`refine`."""
        checks.whole("subsample", every=every)
        if self.steps % every:
            raise InputError(f"subsample: the {self.steps} steps cannot be taken {every} at a time without a rest.")
        return replace(self, times=self.times[::every], strain=self.strain[:, ::every])


@dataclass(frozen=True, eq=False)
class LoadPath:
    """Strain and stress histories of ``n`` points: each component is controlled by one of the two.

    Attributes
    ----------
    times : [t]
        Strictly increasing, at least two, unit of time; ``times[0]`` is the start.
    target : [n, t, m]
        Strain of the strain-controlled components, stress (unit of stress) of the others; ``[t, m]`` is accepted for
        one path. Row 0 gives the strain of the start; its stress entries are not used.
    stress_controlled : bool, broadcast to [n, t, m]
        Which components are controlled by stress: ``[m]`` for all times, or ``[t, m]``, ``[n, 1, m]``, ``[n, t, m]``.
        A component that changes from one control to the other goes on from the value it has reached.
    kinematics : Kinematics
        Which strain and stress these are.

    Raises
    ------
    InputError
        If a shape does not fit, a number is not finite, or the times do not increase.
    """

    times: Array
    target: Array
    stress_controlled: ArrayLike
    kinematics: Kinematics = SMALL_STRAIN_3D

    def __post_init__(self) -> None:
        times, target = _checked("LoadPath", "target", self.times, self.target, self.kinematics)
        try:
            mask = np.broadcast_to(np.asarray(self.stress_controlled, dtype=bool), target.shape)
        except ValueError:
            raise InputError(
                f"LoadPath: stress_controlled has shape {np.shape(self.stress_controlled)}, which does not broadcast "
                f"to the shape {target.shape} of the target; give one flag for each of the {target.shape[-1]} "
                "components."
            ) from None
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "stress_controlled", mask)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def steps(self) -> int:
        """Number of steps, one less than the number of times."""
        return len(self.times) - 1

    @property
    def mask(self) -> NDArray[np.bool_]:
        """``stress_controlled`` in full shape ``[n, t, m]``."""
        return np.asarray(self.stress_controlled)

    @classmethod
    def of(cls, path: StrainPath) -> "LoadPath":
        """Return a strain path as a load path without any stress control."""
        return cls(path.times, path.strain, np.zeros(path.kinematics.size, dtype=bool), path.kinematics)


def _checked(name: str, what: str, times: Array, values: Array, kinematics: Kinematics) -> tuple[Array, Array]:
    times, values = np.array(times, dtype=float), np.array(values, dtype=float)
    if values.ndim == 2:
        values = values[None]
    if times.ndim != 1 or len(times) < 2:
        raise InputError(f"{name}: times has shape {times.shape}; a path needs a start and at least one step, [t ≥ 2].")
    if values.ndim != 3 or values.shape[1:] != (len(times), kinematics.size):
        raise InputError(
            f"{name}: {what} has shape {values.shape}; with {len(times)} times and kinematics {kinematics} it must be "
            f"(n, {len(times)}, {kinematics.size})."
        )
    if not np.isfinite(times).all() or not (np.diff(times) > 0.0).all():
        raise InputError(f"{name}: the times must be finite and strictly increasing; got {times}.")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    if len(bad):
        raise InputError(f"{name}: {what} is not finite in {len(bad)} of {len(values)} paths, first in path {bad[0]}.")
    for array in (times, values):
        array.setflags(write=False)
    return times, values
