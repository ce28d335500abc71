"""From strain to the numbers a network eats, and from its answer back to stress.

Every input feature is an affine function of strain, old strain and step length, ``x = A ε + B ε_old + c Δt + x0``,
so that the chain rule to ``dσ/dε`` is one constant matrix. The scales are fitted on the training paths, hold for each
component on its own, and leave zero at zero; they are stored with the law.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pydantic

from pointlaw.data.dataset import Dataset
from pointlaw.errors import InputError
from pointlaw.tensors import Array

Feature = Literal["strain", "increment", "dt"]


class Scaling(pydantic.BaseModel):
    """Scales of strain, strain increment, stress and step length.

    Attributes
    ----------
    reference : [m]
        Strain of the undeformed body, subtracted first.
    strain, increment, stress : [m]
        Root mean square of each component over the training paths (units of strain and stress).
    dt : float
        Mean step length, unit of time.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    reference: list[float]
    strain: list[float]
    increment: list[float]
    stress: list[float]
    dt: float

    @pydantic.model_validator(mode="after")
    def _usable(self) -> "Scaling":
        sizes = {len(self.reference), len(self.strain), len(self.increment), len(self.stress)}
        scales = [*self.strain, *self.increment, *self.stress, self.dt]
        if len(sizes) != 1 or not np.all(np.isfinite([*self.reference, *scales])) or min(scales) <= 0:
            raise ValueError("scales are finite, > 0 and of one length")
        return self

    @classmethod
    def fit(cls, dataset: Dataset, rule: Literal["component", "physical"] = "component") -> "Scaling":
        """Return the scales of ``dataset``; a component that is always zero gets the largest scale of the others.

        With ``rule="physical"`` strains keep their size and all stresses share one scale, so that a symmetric tangent
        and the derivative of an energy stay what they are.
        """
        reference = dataset.kinematics.reference
        dt, m = float(np.diff(dataset.time, axis=1).mean()), len(reference)
        if rule == "physical":
            one = float(np.sqrt(np.mean(dataset.stress[:, 1:] ** 2))) or 1.0
            return cls(reference=list(reference), strain=[1.0] * m, increment=[1.0] * m, stress=[one] * m, dt=dt)
        return cls(
            reference=list(reference),
            strain=_rms(dataset.strain[:, 1:] - reference),
            increment=_rms(np.diff(dataset.strain, axis=1)),
            stress=_rms(dataset.stress[:, 1:]),
            dt=dt,
        )

    def apply(self, stress: Array) -> Array:
        """Scale ``stress[..., m]`` to numbers of order one."""
        return stress / np.array(self.stress)

    def undo(self, scaled: Array) -> Array:
        """Return the stress ``[..., m]`` that ``scaled`` stands for."""
        return scaled * np.array(self.stress)


@dataclass(frozen=True)
class FeatureMap:
    """``x = A ε + B ε_old + c Δt + x0`` with ``A, B [f, m]`` and ``c, x0 [f]``."""

    A: Array
    B: Array
    c: Array
    x0: Array

    @property
    def size(self) -> int:
        """Number of features ``f``."""
        return len(self.A)

    @property
    def needs_old_strain(self) -> bool:
        """Whether the law must remember the strain of the last step."""
        return bool(self.B.any())

    def apply(self, strain: Array, old: Array, dt: Array) -> Array:
        """Return the features ``[..., f]`` of ``strain[..., m]``, ``old[..., m]`` and ``dt[...]``."""
        return strain @ self.A.T + old @ self.B.T + np.asarray(dt)[..., None] * self.c + self.x0

    def of(self, dataset: Dataset) -> Array:
        """Return the features ``[n, t − 1, f]`` of all steps of ``dataset``."""
        return self.apply(dataset.strain[:, 1:], dataset.strain[:, :-1], np.diff(dataset.time, axis=1))


def feature_map(features: tuple[Feature, ...], scaling: Scaling) -> FeatureMap:
    """Return the affine map of the named features.

    ``strain`` is (ε − reference)/scale, ``increment`` (ε − ε_old)/scale, ``dt`` the step length over its mean.
    Raises ``InputError`` for an unknown or repeated feature, or when none of them holds the strain.
    """
    m = len(scaling.strain)
    zero, none = np.zeros((m, m)), np.zeros(m)
    strain, increment = np.diag(1.0 / np.array(scaling.strain)), np.diag(1.0 / np.array(scaling.increment))
    known = {
        "strain": (strain, zero, none, -strain @ np.array(scaling.reference)),
        "increment": (increment, -increment, none, none),
        "dt": (np.zeros((1, m)), np.zeros((1, m)), np.array([1.0 / scaling.dt]), np.zeros(1)),
    }
    if len(set(features)) != len(features) or not set(features) <= known.keys() or set(features) <= {"dt"}:
        raise InputError(f"Features are a choice of {', '.join(known)} with strain or increment in it; got {features}.")
    parts = [known[name] for name in features]
    A, B, c, x0 = (np.concatenate([part[i] for part in parts]) for i in range(4))
    return FeatureMap(A=A, B=B, c=c, x0=x0)


def _rms(values: Array) -> list[float]:
    """Root mean square of each component of ``values[n, t, m]``."""
    rms = np.sqrt(np.mean(values**2, axis=(0, 1)))
    largest = float(rms.max())
    if largest == 0.0:
        return [1.0] * len(rms)
    return [float(value) if value > 1e-9 * largest else largest for value in rms]
