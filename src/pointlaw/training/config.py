"""Settings of one training, with the reason for each default."""

from typing import Any, Literal

import pydantic
import torch

from pointlaw.data import Feature, Settings
from pointlaw.errors import EnvironmentProblem


class TrainConfig(Settings):
    """How to train; an ``InputError`` names the first setting that cannot be used.

    Attributes
    ----------
    epochs : int
        Passes over the data at most.
    batch : int
        Paths in one gradient step.
    learning_rate : float
        Peak of the learning rate (Adam); it warms up over 5 % of the epochs and falls on a cosine to 1 % of the peak.
    weight_decay : float
        Decoupled decay of the weights.
    clip : float
        Largest norm of the gradient; recurrent networks need it.
    patience : int
        Epochs without a better validation error after which training stops.
    validation : float
        Fraction of the paths that decides about the best epoch and early stopping, if no set is given.
    features : tuple of str
        Inputs of the network: ``strain``, ``increment``, ``dt``.
    tangent_weight : float
        Weight of the relative error of the consistent tangent in the objective; needs data with tangents.
    rest_weight : float
        Weight of the relative error of the first step of each path, which decides about the stiffness at rest.
    energy_weight, dissipation_weight : float
        Weights of the relative errors of stored and dissipated energy; they need data with them and a network with
        an ``energy(x, state)``, see :func:`~pointlaw.training.fit`.
    balance : str
        ``"fixed"`` takes the weights as they are; ``"uncertainty"`` divides each term by its own running mean first, so
        that a weight of 1 means as much attention as the stress gets.
    subsample : float
        Fraction of the batches read at a random choice of their times, so that the network sees other step sizes.
        These steps have no tangent of their own and do not enter that part of the objective.
    hold : float
        Fraction of the sub-sampled steps that repeat the strain of the step before (rate-independent teachers only).
    refine : float
        Fraction of the batches in which each step is cut into 2 to ``refine_most`` equal ones, with targets at the
        original times only, so that the network also sees smaller steps than the data have.
    refine_most : int
        Largest number of parts.
    freeze : tuple of str
        Patterns of parameter names (``"cells.*"``) that training leaves as they are.
    seed : int
        Decides the split, the order and the sub-sampling; the first weights belong to the network that is given.
    device : str
        ``"cpu"``, ``"cuda"``, or ``"auto"``: a GPU if there is one.
    precision : str
        ``"float32"``, or ``"float64"`` for networks with physics inside, where differences of near numbers matter.
    checkpoint_every : int
        Epochs (of Reptile: rounds) between two checkpoints, if a checkpoint is given.
    """

    model_config = pydantic.ConfigDict(allow_inf_nan=False)

    epochs: int = pydantic.Field(default=200, ge=1)
    batch: int = pydantic.Field(default=32, ge=1)
    learning_rate: float = pydantic.Field(default=3e-3, gt=0)
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    clip: float = pydantic.Field(default=1.0, gt=0)
    patience: int = pydantic.Field(default=50, ge=1)
    validation: float = pydantic.Field(default=0.15, gt=0, lt=1)
    features: tuple[Feature, ...] = ("strain",)
    tangent_weight: float = pydantic.Field(default=0.0, ge=0)
    rest_weight: float = pydantic.Field(default=0.0, ge=0)
    energy_weight: float = pydantic.Field(default=0.0, ge=0)
    dissipation_weight: float = pydantic.Field(default=0.0, ge=0)
    balance: Literal["fixed", "uncertainty"] = "fixed"
    subsample: float = pydantic.Field(default=0.0, ge=0, le=1)
    hold: float = pydantic.Field(default=0.1, ge=0, lt=1)
    refine: float = pydantic.Field(default=0.0, ge=0, le=1)
    refine_most: int = pydantic.Field(default=4, ge=2)
    freeze: tuple[str, ...] = ()
    seed: int = pydantic.Field(default=0, ge=0)
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    precision: Literal["float32", "float64"] = "float32"
    checkpoint_every: int = pydantic.Field(default=10, ge=1)

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the terms of the objective."""
        return {
            "stress": 1.0,
            "tangent": self.tangent_weight,
            "rest": self.rest_weight,
            "energy": self.energy_weight,
            "dissipation": self.dissipation_weight,
        }

    @property
    def dtype(self) -> torch.dtype:
        """The number type of ``precision``."""
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def chosen_device(self) -> torch.device:
        """The device itself; ``EnvironmentProblem`` when a GPU is wanted and there is none."""
        if self.device == "cpu":
            return torch.device("cpu")
        found = torch.cuda.is_available()
        if self.device == "cuda" and not found:
            raise EnvironmentProblem('torch finds no GPU here; train with device = "auto" or "cpu".')
        return torch.device("cuda" if found else "cpu")

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON values, for the card."""
        return self.model_dump(mode="json")
