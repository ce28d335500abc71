"""The card of a learned law: what it is, in which units, how far it was trained and how good it was found to be.

A card is JSON in the header of the law file, checked by pydantic whenever it is read. Its figures are measured on
paths that training never saw; a law may have bad figures, but none ships without figures.
"""

from typing import Any, Final, Literal

import numpy as np
import pydantic

from pointlaw.data import Dataset, Feature, Scaling, Units
from pointlaw.tensors import KINEMATICS, Kinematics

FORMAT_VERSION: Final = 1

_STRICT = pydantic.ConfigDict(extra="forbid", frozen=True)


class Coverage(pydantic.BaseModel):
    """How the density of the training points was made, and what kept-back paths say about it.

    Attributes
    ----------
    centres, axes : int
        Balls and principal axes of strain and law state; their arrays lie beside the weights.
    longest_step : float or None
        Norm of a strain increment that counts as the edge; None if any step does.
    beyond : float
        Share of the points of ``kept_back_paths`` that have a grade above 1.
    grade_median, grade_99 : float
        Quantiles of their grades.
    """

    model_config = _STRICT

    centres: int
    axes: int
    longest_step: float | None
    beyond: float
    grade_median: float
    grade_99: float
    kept_back_paths: int


class Envelope(pydantic.BaseModel):
    """What the training paths covered.

    Attributes
    ----------
    strain_min, strain_max : [m]
        Box of the strains.
    step_min, step_median, step_max : float
        Norm of the strain increments of one step.
    arc_length : float
        Longest strain path.
    dt_min, dt_max : float
        Step lengths, unit of time.
    steps, paths : int
        Steps of a path and number of paths.
    density : Coverage or None
        The density of the training points, if the law carries one (:class:`~pointlaw.laws.density.Density`).
    """

    model_config = _STRICT

    strain_min: list[float]
    strain_max: list[float]
    step_min: float
    step_median: float
    step_max: float
    arc_length: float
    dt_min: float
    dt_max: float
    steps: int
    paths: int
    density: Coverage | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> "Envelope":
        """Return the envelope of ``dataset``."""
        strain = dataset.strain
        increments = np.linalg.norm(np.diff(strain, axis=1), axis=2)
        moving = increments[increments > 0]
        moving = moving if len(moving) else np.zeros(1)
        dt = np.diff(dataset.time, axis=1)
        return cls(
            strain_min=strain.min(axis=(0, 1)).tolist(),
            strain_max=strain.max(axis=(0, 1)).tolist(),
            step_min=float(moving.min()),
            step_median=float(np.median(moving)),
            step_max=float(moving.max()),
            arc_length=float(increments.sum(axis=1).max()),
            dt_min=float(dt.min()),
            dt_max=float(dt.max()),
            steps=dataset.times - 1,
            paths=dataset.paths,
        )


class Figures(pydantic.BaseModel):
    """What the audit measured on ``paths`` kept-back paths; relative numbers unless said otherwise.

    ``None`` means not measured: an older file, a law or data that cannot give the figure, or no data at all. The page
    ``docs/law_card.md`` says what each figure means and what to do when it is bad.

    Attributes
    ----------
    error_mean, error_median, error_95 : float
        ‖σ − σ̂‖ / ‖σ̂‖ over each path: mean, median and 95 % quantile.
    tangent_error, tangent_median, tangent_95 : float
        ‖C − Ĉ‖ / ‖Ĉ‖ of each step against the teacher's consistent tangent: mean, median, 95 % quantile.
    refinement : dict
        Mean over the paths of the change of stress, relative to the path's stress, when every step is cut into 2, 4,
        8, 16 equal steps.
    refinement_stress : dict
        The same for the strain, when the law is led along the teacher's stresses; of the paths that got to their end.
    stress_paths, undriven : int
        Paths that were led by stress, and how many of them did not get to their end.
    drift : float
        Mean change of stress over 100 steps in which the last strain is held, relative to the path's largest stress.
    stress_at_rest : float
        Norm of the stress in 10 steps at zero strain over the stress scale.
    stiffness_error : float
        ‖C(0) − C₀‖ / ‖C₀‖ against the teacher's tangent at rest, if it is known.
    tangent_check : float
        Largest relative difference of the tangent from central differences.
    softest, soft_share : float
        Smallest eigenvalue of the symmetric part of the tangent over its largest, worst point; and the share of
        points where it is negative.
    elliptic : float
        Smallest eigenvalue of the acoustic tensor over its largest, worst point, of 200 directions; finite strain only.
    cycle_work, cycle_loss : float
        Work of closed strain cycles over the work put in: the smallest (negative: the law gives work away), and the
        mean, which is the share that the law dissipates.
    rotation : float
        Largest ‖P(QF) − Q P(F)‖ / ‖P(F)‖ over paths with a growing rotation ``Q``; finite strain only.
    dissipation : float
        Smallest dissipation of a step over the largest stored energy, for laws that know their energy.
    failed : int
        Points that were not finite.
    """

    # A law that failed has figures that are not finite; they survive the file as strings, for JSON has no NaN.
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    paths: int
    error_mean: float | None
    error_median: float | None
    error_95: float | None
    tangent_error: float | None
    tangent_median: float | None = None
    tangent_95: float | None = None
    refinement: dict[int, float]
    refinement_stress: dict[int, float] | None = None
    stress_paths: int | None = None
    undriven: int | None = None
    drift: float
    stress_at_rest: float
    stiffness_error: float | None
    tangent_check: float
    softest: float
    soft_share: float | None = None
    elliptic: float | None = None
    cycle_work: float | None = None
    cycle_loss: float | None = None
    rotation: float | None = None
    dissipation: float | None = None
    failed: int


class Provenance(pydantic.BaseModel):
    """Where a law comes from: its teacher with its parameters, its data by their hashes, its training."""

    model_config = _STRICT

    teacher: str = ""
    parameters: dict[str, Any] = {}
    training_sha256: str = ""
    kept_back_sha256: str = ""
    seed: int | None = None
    training: dict[str, Any] = {}
    versions: dict[str, str] = {}


class Probe(pydantic.BaseModel):
    """A question and its answer, asked again whenever the law is loaded.

    ``strain[k][m]`` are k steps of one point, of length ``dt``; ``stress[k][m]`` and ``tangent[m][m]`` (last step)
    are what the law answered when it was saved.
    """

    model_config = _STRICT

    dt: float
    strain: list[list[float]]
    stress: list[list[float]]
    tangent: list[list[float]]

    @pydantic.model_validator(mode="after")
    def _rectangular(self) -> "Probe":
        for name in ("strain", "stress", "tangent"):
            if len({len(row) for row in getattr(self, name)}) > 1:
                raise ValueError(f"the rows of {name} differ in length")
        return self

    @property
    def finite(self) -> bool:
        """Whether every number of the answer is finite."""
        return all(np.isfinite(rows).all() for rows in (self.stress, self.tangent))


class LawCard(pydantic.BaseModel):
    """Everything about a learned law but its weights.

    Attributes
    ----------
    version : int
        Version of the format.
    name : str
        What people call the law.
    architecture, config
        Entry of ``NETWORKS`` and its keyword arguments; ``"torchscript"`` for a user's own file.
    kinematics : str
        Name in ``KINEMATICS``.
    features : tuple of str
        Inputs of the network.
    scaling : Scaling
        Scales of inputs and answers.
    precision : "float64" or "float32"
        Arithmetic inside; with float32 a solver cannot reach relative residuals much below 1e-6.
    units, envelope, figures, provenance, probe
        See the classes.
    """

    model_config = _STRICT

    version: Literal[1] = 1
    name: str
    architecture: str
    config: dict[str, Any]
    kinematics: str
    features: tuple[Feature, ...]
    scaling: Scaling
    precision: Literal["float64", "float32"] = "float64"
    units: Units = Units()
    envelope: Envelope
    figures: Figures
    provenance: Provenance = Provenance()
    probe: Probe

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "LawCard":
        if self.kinematics not in KINEMATICS:
            raise ValueError(f"kinematics '{self.kinematics}' is unknown; known are {', '.join(KINEMATICS)}")
        m = self.measure.size
        for name, values in (
            ("scaling", self.scaling.strain),
            ("envelope", self.envelope.strain_min),
            ("envelope", self.envelope.strain_max),
        ):
            if len(values) != m:
                raise ValueError(f"{name} has {len(values)} components; kinematics {self.kinematics} has {m}")
        if self.figures.error_mean is None:
            raise ValueError("figures hold no accuracy; a law ships only with the errors on kept-back paths")
        return self

    @property
    def measure(self) -> Kinematics:
        """The kinematics themselves."""
        return KINEMATICS[self.kinematics]
