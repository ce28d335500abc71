"""A trained network as a :class:`~pointlaw.materials.Material`.

A :class:`LearnedMaterial` is a network with its card. Its inner call is torch-scripted, computes in blocks, writes
into the caller's arrays and says which points lie outside the strains it was trained on. torch is held to one thread
in each process, because ranks share the cores and a second thread makes this work slower.
"""

import hashlib
import json
import math
from typing import Any

import numpy as np
import torch

from pointlaw.data import feature_map
from pointlaw.errors import InputError
from pointlaw.laws.card import LawCard
from pointlaw.laws.density import Density
from pointlaw.laws.evaluator import BLOCK, AutodiffEvaluator, FoldedEvaluator, SinglePrecision
from pointlaw.materials import Material, Response, StateLayout
from pointlaw.networks import Network, check_features, frozen_copy, script
from pointlaw.tensors import Array

FAR = 4.0  # steps that are longer than those of the training by this factor are out of range
OLD_STRAIN = "old_strain"  # of the features: the network's own parts of the state may have any other name


class LearnedMaterial(Material):
    """A network that answers as a constitutive law.

    Parameters
    ----------
    network : Network or torch.jit.ScriptModule
        The trained network; it is copied into an evaluator and never changed. A scripted module answers
        ``(x, state) -> (y, state)``.
    card : LawCard
        Kinematics, features, scaling, envelope, precision and figures.
    block : int
        Points evaluated at a time.
    folded : bool
        Whether to use the network's folded kernel if it has one; otherwise automatic differentiation is used.
    density : Density, optional
        Measure of how far a point is from the training points, for :class:`~pointlaw.laws.guard.Guarded`.

    Notes
    -----
    Points whose strain leaves the box of the card's envelope get status ``OUT_OF_RANGE``; so do all points in a time
    step more than four times as long as any of the envelope, if the law sees time, and those with such a strain
    increment, if its network integrates along it approximately. ``outside`` counts them over the last evaluation.
    Its ``identity`` is a hash of the weights and of what they are fed: hidden states mean nothing to another training.
    """

    def __init__(
        self,
        network: Network | torch.jit.ScriptModule,
        card: LawCard,
        *,
        block: int = BLOCK,
        folded: bool = True,
        density: Density | None = None,
    ):
        one_thread()
        self.network, self.card, self.block, self.density = network, card, block, density
        self.kinematics, self.units = card.measure, card.units
        self.outside = 0
        features = feature_map(card.features, card.scaling)
        sizes = _state_sizes(network, card)
        self._check(features.size)
        memory = sum(sizes.values())
        if features.needs_old_strain:
            sizes[OLD_STRAIN] = self.kinematics.size
        self.state_layout = StateLayout(sizes)
        self._first = self._first_state(memory)
        self._identity = f"{card.architecture} {_digest(network, card)}"  # now: the weights may be trained on
        m = self.kinematics.size
        if density is not None and density.shift.size != m + self.state_layout.size:
            raise InputError(
                f"The density is of {density.shift.size} variables; the law '{card.name}' has "
                f"{m + self.state_layout.size} (strain and state)."
            )
        A = torch.as_tensor(features.A, dtype=torch.float64)
        S = torch.diag(torch.tensor(card.scaling.stress, dtype=torch.float64))
        lower, upper = np.array(card.envelope.strain_min), np.array(card.envelope.strain_max)
        self._longest_dt = FAR * card.envelope.dt_max if "dt" in card.features else math.inf
        longest = FAR * card.envelope.step_max if getattr(network, "stepping", False) else math.inf
        kernel = network.kernel(A, S, block) if folded and isinstance(network, Network) else None
        self._evaluate: Any
        if kernel is not None:
            if card.precision == "float32":
                kernel = SinglePrecision(kernel, {"old": memory, "new": memory, "sigma": m, "C": m * m}, block)
            # Compiled code goes point by point, so that longer blocks cost no cache and fewer calls.
            rows = 4 * block if kernel.compiled else block
            evaluator = FoldedEvaluator(kernel, features, lower, upper, memory, rows).eval()
            self._evaluate = evaluator if kernel.compiled else script(evaluator)
        else:
            dtype = torch.float32 if card.precision == "float32" else torch.float64
            cell = script(frozen_copy(network, dtype)) if isinstance(network, Network) else network
            self._evaluate = AutodiffEvaluator(cell, features, lower, upper, S, memory, block, dtype, longest)

    @property
    def identity(self) -> str:
        """Architecture and hash; see :attr:`Material.identity`."""
        return self._identity

    def initial_state(self, points: int) -> Array:
        """Return the state ``[points, s]`` of the virgin material."""
        return np.tile(self._first, (points, 1))

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer for a batch of points; see :meth:`Material.update`."""
        p, m = strain.shape
        out = Response.__new__(Response)  # the arrays are filled, and judged, below
        out.stress, out.state = np.empty((p, m)), np.empty((p, self.state_layout.size))
        out.tangent = np.empty((p, m, m)) if tangent else None
        out.status = np.empty(p, dtype=np.int8)
        self.update_into(strain, state, dt, out, tangent=tangent)
        return out

    def update_into(self, strain: Array, state: Array, dt: float, out: Response, *, tangent: bool = True) -> None:
        """Answer into the arrays of ``out`` without temporaries that grow with the number of points."""
        p, m = strain.shape
        if m != self.kinematics.size or state.shape != (p, self.state_layout.size):
            raise InputError(
                f"The law '{self.card.name}' takes strain [p, {self.kinematics.size}] and state "
                f"[p, {self.state_layout.size}]; got {list(strain.shape)} and {list(state.shape)}."
            )
        wanted = tangent and out.tangent is not None
        status = out.status if out.status is not None and out.status.flags.c_contiguous else np.empty(p, np.int8)
        targets = (out.stress, out.state, out.tangent if wanted else None)
        if not all(array is None or array.flags.c_contiguous for array in targets):
            Material.update_into(self, strain, state, dt, out, tangent=tangent)
            return
        with torch.no_grad():
            self._evaluate(
                # torch takes writable arrays only, though nothing is written here; a read-only one is copied
                torch.from_numpy(np.require(strain, np.float64, ("C", "W"))),
                torch.from_numpy(np.require(state, np.float64, ("C", "W"))),
                float(dt),
                torch.from_numpy(out.stress),
                torch.from_numpy(out.state),
                torch.from_numpy(status),
                torch.from_numpy(out.tangent).view(p, m * m) if tangent and out.tangent is not None else None,
            )
        if dt > self._longest_dt:
            np.minimum(status, 0, out=status)
        out.status, out.dt_factor = status, float("inf")
        self.outside = p - int(np.count_nonzero(status))  # OUT_OF_RANGE is zero: no temporary of the batch size

    def __repr__(self) -> str:
        return f"LearnedMaterial('{self.card.name}', {self.card.architecture}, {self.kinematics})"

    def _check(self, features: int) -> None:
        """Refuse a network whose sizes or features do not fit its card."""
        sizes = (getattr(self.network, "features", features), getattr(self.network, "outputs", self.kinematics.size))
        if sizes != (features, self.kinematics.size):
            raise InputError(
                f"The network of law '{self.card.name}' takes {sizes[0]} features and gives {sizes[1]} answers; "
                f"its card needs {features} and {self.kinematics.size}."
            )
        check_features(self.network, self.card.features, self.kinematics.size)

    def _first_state(self, memory: int) -> Array:
        first = np.zeros(self.state_layout.size)
        if isinstance(self.network, Network):
            first[:memory] = self.network.initial_state(1)[0].detach().double().numpy()
        if OLD_STRAIN in self.state_layout:
            first[self.state_layout[OLD_STRAIN]] = self.kinematics.reference
        return first


def one_thread() -> None:
    """Hold torch to one thread in this process: ranks, not threads, share the work."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def _digest(network: Network | torch.jit.ScriptModule, card: LawCard) -> str:
    """Return a hash of what makes a hidden state: the weights, and what the card says goes into them.

    Figures, envelope and name may change while the law stays. Weights are hashed as float64, which all others fit
    into, because a file may hold them in another precision than the memory did.
    """
    # The constants of a script are no weights; only its answers tell.
    fields = {"architecture", "config", "features", "scaling"} | (set() if isinstance(network, Network) else {"probe"})
    told = card.model_dump(mode="json", include=fields, warnings=False)
    content = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        content.update(f"{name} {list(tensor.shape)}".encode() + tensor.detach().cpu().double().numpy().tobytes())
    return content.hexdigest()[:16]


def _state_sizes(network: Network | torch.jit.ScriptModule, card: LawCard) -> dict[str, int]:
    if isinstance(network, Network):
        return network.state_sizes
    size = int(card.config.get("state_size", 0))
    return {"memory": size} if size else {}
