"""Path plans: which load paths a dataset is made of, as a kind, its parameters and a seed.

A plan is plain data, written to the card and read from a configuration file. Path ``i`` follows from the plan, the seed
and ``i`` alone, so it is the same path whoever computes it. Every kind bounds the strain (or the stress, where a
direction of stress is followed) and the size of a step.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from pointlaw import paths
from pointlaw.data import Settings, first_fault
from pointlaw.errors import InputError
from pointlaw.paths import LoadPath, StrainPath
from pointlaw.rve.sobol import sobol
from pointlaw.tensors import Array, Kinematics

Positive = Annotated[float, pydantic.Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, pydantic.Field(ge=1)]


class PathPlan(Settings, ABC):
    """What all kinds share.

    Attributes
    ----------
    paths : int
        Number of paths; more of them later are appended to those that exist.
    seed : int
        Seed of whatever is random in the plan.
    steps : int
        Load steps of a path; for ``proportional``, ``cyclic`` and ``sobol`` of each straight line of it.
    duration : float
        Time of the whole path, unit of time.
    bound : float
        Largest norm of the strain (at finite strain of ``F - I``), or of the stress in a stress direction.
    step_size : float, optional
        Largest norm of a step in the same measure.
    """

    paths: Count
    seed: Annotated[int, pydantic.Field(ge=0)] = 0
    steps: Count
    duration: Positive = 1.0
    bound: Positive
    step_size: Positive | None = None

    @abstractmethod
    def load(self, indices: Sequence[int], kinematics: Kinematics) -> LoadPath:
        """Return the paths ``indices`` for a law with these kinematics, all with the same times.

        Raises ``InputError`` when the plan does not fit the kinematics.
        """

    def _line(self, length: float) -> None:
        """Raise ``InputError`` if a line of this length has steps above ``step_size``."""
        if self.step_size is not None and length / self.steps > self.step_size * (1.0 + 1e-12):
            raise InputError(
                f"The plan asks for steps of at most {self.step_size:g}, but a line of length {length:g} in "
                f"{self.steps} steps needs {length / self.steps:g}; set steps = {_needed(length, self.step_size)}."
            )


class _Directed(PathPlan):
    """Paths along directions: the chosen ones in turn, or random ones, uniform on the sphere.

    Attributes
    ----------
    directions : list of [m], optional
        Path ``i`` takes ``directions[i % n]``; their length does not matter.
    smallest : float, optional
        The amplitude of path ``i`` is then uniform between this and ``bound``; otherwise it is ``bound``.
    control : "strain" or "stress"
        What follows the direction; under stress control the strain is found so that the stress does.
    """

    directions: list[list[float]] | None = None
    smallest: Positive | None = None
    control: Literal["strain", "stress"] = "strain"

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "_Directed":
        if self.smallest is not None and self.smallest > self.bound:
            raise ValueError(f"smallest = {self.smallest:g} must not be above bound = {self.bound:g}")
        if self.directions is not None and not self.directions:
            raise ValueError("directions is empty; leave it out for random directions")
        return self

    def _ends(self, indices: Sequence[int], kinematics: Kinematics) -> Array:
        """Return the directions times the amplitudes of these paths, ``[n, m]``."""
        if self.directions is None:
            vectors = paths.random_directions(list(indices), seed=self.seed, kinematics=kinematics)
        else:
            wrong = [d for d in self.directions if len(d) != kinematics.size or not np.linalg.norm(d) > 0.0]
            if wrong:
                raise InputError(
                    f"The direction {wrong[0]} of the plan does not fit {kinematics}: it must have {kinematics.size} "
                    f"components ({', '.join(kinematics.components)}) that are not all zero."
                )
            vectors = np.array([self.directions[i % len(self.directions)] for i in indices], dtype=float)
        amplitude = np.full(len(indices), self.bound)
        if self.smallest is not None:
            # The third number keeps the amplitude independent of the direction drawn from (seed, index).
            drawn = [np.random.default_rng([self.seed, i, 1]).uniform() for i in indices]
            amplitude = self.smallest + (self.bound - self.smallest) * np.array(drawn)
        return vectors * (amplitude / np.linalg.norm(vectors, axis=1))[:, None]

    def _through(self, corners: Array, kinematics: Kinematics) -> LoadPath:
        """Return the path through ``corners[n, k, m]`` under strain or stress control."""
        # The lines are drawn around zero; under strain control the undeformed body is added afterwards.
        strain = paths.through(corners, steps=self.steps, duration=self.duration, kinematics=kinematics)
        if self.control == "strain":
            return LoadPath.of(strain)
        stress = strain.strain - kinematics.reference
        return LoadPath(strain.times, stress, np.ones(kinematics.size, dtype=bool), kinematics)


class Proportional(_Directed):
    """Straight lines from the undeformed body; with ``unload`` back again."""

    kind: Literal["proportional"] = "proportional"
    unload: bool = False

    def load(self, indices: Sequence[int], kinematics: Kinematics) -> LoadPath:
        """Return the paths ``indices``; see :meth:`PathPlan.load`."""
        self._line(self.bound)
        ends = self._ends(indices, kinematics)[:, None]
        corners = np.concatenate([ends, 0.0 * ends], axis=1) if self.unload else ends
        return self._through(corners, kinematics)


class Cyclic(_Directed):
    """``cycles`` times between the amplitude and ``ratio`` times the amplitude, then back to zero."""

    kind: Literal["cyclic"] = "cyclic"
    cycles: Count = 1
    ratio: Annotated[float, pydantic.Field(ge=-1.0, lt=1.0)] = -1.0

    def load(self, indices: Sequence[int], kinematics: Kinematics) -> LoadPath:
        """Return the paths ``indices``; see :meth:`PathPlan.load`."""
        self._line(self.bound * (1.0 - min(self.ratio, 0.0)))
        factors = np.array([1.0, self.ratio] * self.cycles + [0.0])
        return self._through(self._ends(indices, kinematics)[:, None] * factors[:, None], kinematics)


class RandomWalk(PathPlan):
    """Steps of random direction, pulled back where they would leave the ball; ``step_size`` is required."""

    kind: Literal["random_walk"] = "random_walk"
    step_size: Positive

    def load(self, indices: Sequence[int], kinematics: Kinematics) -> LoadPath:
        """Return the paths ``indices``; see :meth:`PathPlan.load`."""
        shape: dict[str, Any] = {"seed": self.seed, "steps": self.steps, "duration": self.duration}
        limits: dict[str, Any] = {"bound": self.bound, "step_size": self.step_size}
        return LoadPath.of(paths.random_walk(list(indices), **shape, **limits, kinematics=kinematics))


class GaussianProcess(PathPlan):
    """Smooth random paths; ``correlation`` is the correlation time as a share of the duration."""

    kind: Literal["gaussian_process"] = "gaussian_process"
    correlation: Positive = 0.2

    def load(self, indices: Sequence[int], kinematics: Kinematics) -> LoadPath:
        """Return the paths ``indices``; see :meth:`PathPlan.load`."""
        shape: dict[str, Any] = {"seed": self.seed, "steps": self.steps, "duration": self.duration}
        limits: dict[str, Any] = {
            "bound": self.bound,
            "correlation": self.correlation,
            "step_size": self.step_size or np.inf,
        }
        return LoadPath.of(paths.gaussian_process(list(indices), **shape, **limits, kinematics=kinematics))


class SpaceFilling(PathPlan):
    """Straight lines to end strains that fill a box evenly (Sobol); with ``unload`` back again.

    Attributes
    ----------
    box : [m], optional
        Half widths of the box; a cube whose corners have the norm ``bound`` if omitted. End strains beyond ``bound``
        are pulled back to it.
    """

    kind: Literal["sobol"] = "sobol"
    box: list[Positive] | None = None
    unload: bool = False

    def load(self, indices: Sequence[int], kinematics: Kinematics) -> LoadPath:
        """Return the paths ``indices``; see :meth:`PathPlan.load`."""
        m = kinematics.size
        box = np.full(m, self.bound / np.sqrt(m)) if self.box is None else np.array(self.box)
        if len(box) != m:
            raise InputError(f"The plan's box has {len(box)} half widths; {kinematics} has {m} components.")
        self._line(min(self.bound, float(np.linalg.norm(box))))
        ends = (2.0 * sobol(list(indices), m, seed=self.seed) - 1.0) * box
        ends *= np.minimum(1.0, self.bound / np.maximum(np.linalg.norm(ends, axis=1), 1e-300))[:, None]
        corners = np.stack([ends, 0.0 * ends], axis=1) if self.unload else ends[:, None]
        line = paths.through(corners, steps=self.steps, duration=self.duration, kinematics=kinematics)
        return LoadPath.of(StrainPath(line.times, line.strain, kinematics))


Plan = Proportional | Cyclic | RandomWalk | GaussianProcess | SpaceFilling
PLANS: dict[str, type[PathPlan]] = {
    "proportional": Proportional,
    "cyclic": Cyclic,
    "random_walk": RandomWalk,
    "gaussian_process": GaussianProcess,
    "sobol": SpaceFilling,
}


def make_plan(values: dict[str, Any]) -> PathPlan:
    """Return the plan that ``values`` describe, ``{"kind": "cyclic", "paths": 100, …}``.

    Raises ``InputError`` with a sentence that names the first entry that is missing, unknown or out of range.
    """
    kind = values.get("kind")
    if kind not in PLANS:
        raise InputError(f"The plan has kind = {kind!r}; known kinds are {', '.join(PLANS)}.")
    try:
        return PLANS[kind].model_validate(values)
    except pydantic.ValidationError as error:
        raise InputError(f"The plan of kind '{kind}' cannot be used: {first_fault(error)}") from error


def _needed(length: float, step_size: float) -> int:
    return int(np.ceil(length / step_size * (1.0 - 1e-12)))
