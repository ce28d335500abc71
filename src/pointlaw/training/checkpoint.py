"""The memory of a training: its history, its best weights, and the file from which a killed run goes on.

A checkpoint names the run it belongs to, holds tensors and plain values only, and is replaced in one piece. A search or
a loop of trainings has a folder: each training in it has its own file, and :func:`claim` says whose folder it is.
"""

import copy
import hashlib
import math
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pointlaw.data import replacing
from pointlaw.errors import InputError
from pointlaw.networks import Network
from pointlaw.training.balance import Balance


@dataclass(frozen=True)
class Epoch:
    """Losses of one epoch: objective on the training paths, mean relative error on the validation paths.

    ``terms`` are the mean errors on the training paths that the objective is made of, by name.
    """

    number: int
    training: float
    validation: float
    learning_rate: float
    seconds: float
    terms: dict[str, float] = field(default_factory=dict)


class Run:
    """Everything that a checkpoint holds: weights, optimizer, balance of the terms, best weights and history.

    ``identity`` names first weights, data and configuration; a checkpoint of another run is refused.
    """

    def __init__(self, network: Network, optimizer: torch.optim.Optimizer, balance: Balance, identity: str):
        self.network, self.optimizer, self.balance = network, optimizer, balance
        self.identity = f"{type(network).__name__}{network.config}{identity}"
        self.history: list[Epoch] = []
        self.weights: dict[str, torch.Tensor] = copy.deepcopy(network.state_dict())
        self.best = Epoch(-1, math.inf, math.inf, 0.0, 0.0)

    @property
    def seconds(self) -> float:
        """Time of all epochs so far."""
        return self.history[-1].seconds if self.history else 0.0

    @property
    def without_progress(self) -> int:
        """Epochs since the best one."""
        return self.history[-1].number - self.best.number if self.history else 0

    def book(self, epoch: Epoch) -> None:
        """Add ``epoch``; keep the weights if it is the best one."""
        self.history.append(epoch)
        if epoch.validation < self.best.validation or self.best.number < 0:
            self.best, self.weights = epoch, copy.deepcopy(self.network.state_dict())

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        save_state(
            path,
            self.identity,
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "means": self.balance.means,
                "weights": self.weights,
                "history": [asdict(epoch) for epoch in self.history],
                "best": asdict(self.best),
            },
        )

    def load(self, path: Path) -> None:
        """Go on from the checkpoint ``path``.

        Raises ``InputError`` when it cannot be read or is of another run.
        """
        content = load_state(path, self.identity)
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.balance.means = content["means"]
        self.weights = content["weights"]
        self.history, self.best = [Epoch(**row) for row in content["history"]], Epoch(**content["best"])


def hash_of(network: Network) -> str:
    """Return the SHA-256 of all weights, their names and types: what tells one start of a training from another."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_state(path: Path, identity: str, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain values) of the run ``identity`` to ``path`` atomically."""
    with replacing(path) as temporary:
        torch.save({"identity": identity, **content}, temporary)


def load_state(path: Path, identity: str) -> dict[str, Any]:
    """Return what :func:`save_state` wrote.

    Raises ``InputError`` when it cannot be read or is of another run.
    """
    content = _read(path)
    if content["identity"] != identity:
        raise _of_another_run(path)
    return content


def epochs_of(path: Path | None) -> list[Epoch]:
    """Return the epochs that a checkpoint of a training knows; none if there is no such file."""
    return [] if path is None or not path.exists() else [Epoch(**row) for row in _read(path)["history"]]


def claim(folder: Path, identity: str) -> None:
    """Make ``folder`` the place of all checkpoints of the run ``identity``.

    Raises ``InputError`` when it is of another run.
    """
    path = folder / "run.pt"
    if folder.is_file() or (path.exists() and _read(path)["identity"] != identity):
        raise _of_another_run(folder)
    if not path.exists():
        save_state(path, identity, {})


def forget(path: Path) -> None:
    """Delete the checkpoint ``path``, a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        # Tensors and plain values only; nothing is unpickled that could run.
        content = torch.load(path, weights_only=True, map_location="cpu")
        content["identity"]
    except Exception as error:  # damaged bytes make the unpickler raise anything
        raise InputError(f"The checkpoint {path} cannot be read ({error}); delete it to start again.") from error
    return dict(content)


def _of_another_run(path: Path) -> InputError:
    return InputError(
        f"The checkpoint {path} is of another network, dataset or configuration, or began with other weights (random "
        "ones are the same after torch.manual_seed); delete it to start again."
    )
