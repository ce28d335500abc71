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

    Attributes
    ----------
    error_mean, error_median, error_95 : float
        ‖σ − σ̂‖ / ‖σ‖ over each path: mean, median and 95 % quantile.
    tangent_error : float or None
        Mean of ‖C − Ĉ‖ / ‖C‖ against the teacher's consistent tangent, if the data have one.
    refinement : dict
        Mean over the paths of the change of stress, relative to the path's stress, when every step is cut into 2, 4,
        8, 16 equal steps.
    drift : float
        Mean change of stress over 100 steps in which the last strain is held, relative to the path's largest stress.
    stress_at_rest : float
        Norm of the stress in 10 steps at zero strain over the stress scale.
    stiffness_error : float or None
        ‖C(0) − C₀‖ / ‖C₀‖ against the teacher's tangent at rest, if it is known.
    tangent_check : float
        Largest relative difference of the tangent from central differences.
    softest : float
        Smallest eigenvalue of the symmetric part of the tangent over its largest, worst point.
    failed : int
        Points that were not finite.
    """

    model_config = _STRICT

    paths: int
    error_mean: float
    error_median: float
    error_95: float
    tangent_error: float | None
    refinement: dict[int, float]
    drift: float
    stress_at_rest: float
    stiffness_error: float | None
    tangent_check: float
    softest: float
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
        for name, values in (("scaling", self.scaling.strain), ("envelope", self.envelope.strain_min)):
            if len(values) != m:
                raise ValueError(f"{name} has {len(values)} components; kinematics {self.kinematics} has {m}")
        return self

    @property
    def measure(self) -> Kinematics:
        """The kinematics themselves."""
        return KINEMATICS[self.kinematics]
