"""Begin from what is known: a law file, or a network that has seen a whole family of volume elements.

:func:`start_from` opens a law file as the first weights of a training; what must not change is named in
``TrainConfig.freeze``. :func:`reptile` finds first weights from which each member of a family is learned in few steps
(Nichol, Achiam and Schulman 2018, arXiv:1803.02999): train on one member for a while, move a share of the way towards
the result, take the next member.
"""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import torch

from pointlaw.data import Dataset, Feature, Scaling, Settings, feature_map, merge
from pointlaw.errors import InputError
from pointlaw.laws import LawCard, load_law
from pointlaw.networks import Network
from pointlaw.training.balance import Balance
from pointlaw.training.checkpoint import hash_of, load_state, save_state
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import check, epoch_seed, frozen, set_prior
from pointlaw.training.objective import Samples, objective

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """A network that has learned something, with the scales and features it learned it with; keep both.

    The old scales are kept because the weights belong to them: new ones would be another function.
    """

    network: Network
    scaling: Scaling
    features: tuple[Feature, ...]
    card: LawCard | None = None


def start_from(law: str | Path) -> Start:
    """Return the network of a law file, ready to be trained on.

    >>> start = start_from("steel.safetensors")
    >>> fit(start.network, dataset, TrainConfig(features=start.features), scaling=start.scaling)

    Raises ``LawFileError`` when the file is not a law, ``InputError`` when its network is a foreign script.
    """
    loaded = load_law(law)
    network = loaded.network
    if not isinstance(network, Network):
        raise InputError(f"The law '{loaded.card.name}' is a foreign script; only networks of ours are trained on.")
    fresh = type(network)(**network.config)  # the loaded one is held fixed; this one trains what the kind trains
    fresh.load_state_dict(network.state_dict())
    return Start(fresh, loaded.card.scaling, loaded.card.features, loaded.card)


class ReptileConfig(Settings):
    """How to learn from a family; an ``InputError`` names the first setting that cannot be used.

    Attributes
    ----------
    rounds : int
        Times that a member of the family is drawn.
    inner_steps : int
        Gradient steps on this member.
    batch : int
        Paths in one gradient step.
    inner_rate : float
        Learning rate of the gradient steps (Adam without momentum, as in the paper).
    outer_rate : float
        Share of the way towards the member's weights that is kept, at first; it falls linearly to zero.
    """

    rounds: int = pydantic.Field(default=300, ge=1)
    inner_steps: int = pydantic.Field(default=10, ge=1)
    batch: int = pydantic.Field(default=16, ge=1)
    inner_rate: float = pydantic.Field(default=3e-3, gt=0)
    outer_rate: float = pydantic.Field(default=1.0, gt=0, le=1)


def reptile(
    network: Network,
    family: Sequence[Dataset],
    config: ReptileConfig | None = None,
    *,
    train: TrainConfig | None = None,
    checkpoint: str | Path | None = None,
    callback: Callable[[int, float], Any] | None = None,
) -> Start:
    """Train ``network`` in place so that each of the ``family`` is near; return it with its scales.

    Parameters
    ----------
    network : Network
        Fresh, or already trained on something. A stiffness at rest on the cards of all members is taken over and held
        if they agree; otherwise it is learned.
    family : sequence of Dataset
        One dataset a member, of the same kinematics and units.
    config : ReptileConfig, optional
        Settings of the outer loop.
    train : TrainConfig, optional
        Objective, features, seed, clip, freeze, precision and device of the inner loop; its epochs are not used.
    checkpoint : path, optional
        File that is written every ``train.checkpoint_every`` rounds and at the end, and read first if it exists; the
        network must have the same first weights then, as in :func:`fit`.
    callback : callable, optional
        Called with the number of the round and its mean objective; returning ``True`` stops. As in :func:`fit`, the
        last round of a checkpoint is told once more.

    Notes
    -----
    Raises ``InputError`` when a dataset does not fit the network or the others, or the checkpoint is of another run.
    """
    config, train = config or ReptileConfig(), train or TrainConfig()
    identity = _identity(network, family, config, train)  # while the network has its first weights
    everything = _together(family)
    scaling = Scaling.fit(everything, network.scaling)
    features = feature_map(train.features, scaling)
    for member in family:
        check(network, member, features, train)
    set_prior(network, everything, scaling, features, train.freeze)
    network.to(train.chosen_device, train.dtype)
    members = [Samples.of(member, features, scaling.stress, train.chosen_device, train.dtype) for member in family]
    path = None if checkpoint is None else Path(checkpoint)
    memory = _Memory(network, path, identity)
    student = copy.deepcopy(network)

    def unwanted() -> bool:
        if memory.rounds == 0 or callback is None:
            return False
        return callback(memory.rounds - 1, memory.loss) is True

    while not unwanted() and memory.rounds < config.rounds:
        number = memory.rounds
        rng = torch.Generator().manual_seed(epoch_seed(train.seed, number))
        chosen = int(torch.randint(len(members), (), generator=rng))
        student.load_state_dict(network.state_dict())
        with frozen(student, train.freeze) as learned:
            loss = _inner(student, learned, members[chosen], config, train, rng)
        share = config.outer_rate * (1.0 - number / config.rounds)
        with torch.no_grad():
            for mine, other in zip(network.parameters(), student.parameters(), strict=True):
                if bool(torch.isfinite(other).all()):  # a member that explodes is passed over
                    mine.lerp_(other, share)
        log.info("round %d: member %d, objective %.4g", number, chosen, loss)
        memory.book(loss, save=(number + 1) % train.checkpoint_every == 0)
    memory.save()
    return Start(network.cpu().eval(), scaling, train.features)


class _Memory:
    """Rounds that were done, the loss of the last one, and the file that holds both and the weights."""

    def __init__(self, network: Network, path: Path | None, identity: str):
        self.network, self.path, self.identity = network, path, identity
        self.rounds, self.loss = 0, 0.0
        if path is not None and path.exists():
            content = load_state(path, identity)
            network.load_state_dict(content["network"])
            self.rounds, self.loss = content["rounds"], content["loss"]

    def book(self, loss: float, *, save: bool) -> None:
        """Count one more round."""
        self.rounds, self.loss = self.rounds + 1, loss
        if save:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, if there is one."""
        if self.path is not None:
            content = {"network": self.network.state_dict(), "rounds": self.rounds, "loss": self.loss}
            save_state(self.path, self.identity, content)


def _identity(network: Network, family: Sequence[Dataset], config: ReptileConfig, train: TrainConfig) -> str:
    """Return what tells one run of Reptile from another."""
    settings = f"{config.model_dump_json()} {train.model_dump_json()}"
    data = [(member.sha256, member.card.stiffness) for member in family]
    return f"reptile {type(network).__name__} {network.config} {settings} {data} {hash_of(network)}"


def _inner(
    network: Network,
    learned: list[torch.nn.Parameter],
    samples: Samples,
    config: ReptileConfig,
    train: TrainConfig,
    rng: torch.Generator,
) -> float:
    """Take the gradient steps on one member; return their mean objective."""
    network.train()
    optimizer = torch.optim.Adam(learned, lr=config.inner_rate, betas=(0.0, 0.999))
    balance, losses = Balance(train.weights, train.balance), []
    for _ in range(config.inner_steps):
        rows = torch.randperm(len(samples.time), generator=rng)[: config.batch].to(samples.time.device)
        loss = balance(objective(network, samples, rows, train, rng))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(learned, train.clip)
        if torch.isfinite(norm):
            optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).nanmean())


def _together(family: Sequence[Dataset]) -> Dataset:
    """Return all paths of the family as one dataset, for scales and prior; the members may have different teachers."""
    if not family:
        raise InputError("reptile needs a family of datasets; the list is empty.")
    parts = [Dataset(**member.arrays, card=member.card.model_copy(update={"teacher": "family"})) for member in family]
    return merge(parts)
