"""The contract of a network: one step of a recurrence, rows in, rows out, explicit memory.

A :class:`Network` maps features ``x[r, f]`` and state ``[r, h]`` to an answer ``y[r, g]`` and the new state. Rows do
not see each other, nothing is hidden in the module, and ``torch.jit.script`` compiles it. The derivative ``dy/dx``
has a general answer by automatic differentiation; a network that knows better overrides ``step_tangent`` and offers
an inference kernel with all constants folded.
"""

import functools
import io
import logging
import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from pointlaw.networks.arguments import check_arguments

log = logging.getLogger(__name__)


class Network(nn.Module, ABC):
    """One step of a recurrence.

    A subclass sets ``architecture``, calls ``super().__init__`` with its sizes and its whole ``config`` (plain
    JSON values that build it again), and implements :meth:`step`. A network whose answer is a derivative of an
    energy, or that knows what strain is, sets ``scaling = "physical"``: it gets strain minus reference as it is, and
    one stress scale for all components. ``strains`` is how many of the first features it reads as strains, zero if it
    takes any features. A network that remembers the old strain first and integrates along the increment approximately
    sets ``stepping``: increments that are far longer than those of its training are out of its range.
    """

    architecture: ClassVar[str]
    stepping: ClassVar[bool] = False
    scaling: ClassVar[Literal["component", "physical"]] = "component"
    rest: Tensor
    # Plain Python for the file and the reader; torch.jit.script would try to compile properties.
    __jit_unused_properties__: ClassVar[list[str]] = ["config", "state_sizes"]

    def __new__(cls, *positional: Any, **settings: Any) -> Self:
        """Return a network yet to be made; raise ``InputError`` for settings that it cannot have."""
        check_arguments(cls, settings)
        return super().__new__(cls)

    def __init__(
        self, *, features: int, outputs: int, state_sizes: dict[str, int], config: dict[str, Any], strains: int = 0
    ):
        super().__init__()
        self.features, self.outputs, self.strains = features, outputs, strains
        self.state_size = sum(state_sizes.values())
        self._config, self._state_sizes = config, state_sizes
        # A buffer, so that the first state has the type and place of the weights.
        self.register_buffer("rest", torch.zeros(self.state_size), persistent=False)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that build the same network, JSON values only."""
        return dict(self._config)

    @property
    def state_sizes(self) -> dict[str, int]:
        """Names and sizes of the parts of the state row."""
        return dict(self._state_sizes)

    @torch.jit.export
    def initial_state(self, rows: int) -> Tensor:
        """Return the state ``[rows, h]`` of a virgin point."""
        return self.rest.expand(rows, self.state_size).clone()

    @abstractmethod
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the answer ``y[r, g]`` to ``x[r, f]`` and the new state ``[r, h]``; ``state`` is not changed."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Answer like :meth:`step`."""
        return self.step(x, state)

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, g]`` along ``x[r, t, f]``, from the initial state."""
        state = self.initial_state(x.shape[0])
        answers: list[Tensor] = []
        for moment in x.unbind(1):
            y, state = self.step(moment, state)
            answers.append(y)
        return torch.stack(answers, 1)

    def prepare(self, x: Tensor, y: Tensor, stiffness: Tensor | None) -> None:
        """Fit the first weights of a fresh network to scaled data; called before every training.

        ``x[n, t, f]`` and ``y[n, t, g]`` are the training paths, ``stiffness[g, f]`` is ``dy/dx`` at rest if the
        teacher's is known. A trained network keeps its weights, but may take over a stiffness that is known. The
        default leaves the weights as they are.
        """

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y[r, g]``, the new state and ``dy/dx[r, g, f]``, all differentiable in the weights.

        The default runs ``g`` batched vector–Jacobian products; override it where a closed form is cheaper.
        """
        return autodiff_tangent(self, x, state, create_graph=torch.is_grad_enabled())

    def scan_tangent(self, x: Tensor, moments: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the answers ``y[r, t, g]`` along ``x[r, t, f]`` and the slopes ``dy/dx[r, k, g, f]`` of some steps.

        ``moments[k]`` are the positions of these steps; all of them if it is omitted.
        """
        state = self.initial_state(len(x))
        answers, slopes = [], []
        for moment in x.unbind(1):
            y, state, slope = self.step_tangent(moment, state)
            answers.append(y)
            slopes.append(slope)
        wanted = torch.stack(slopes, 1)
        return torch.stack(answers, 1), wanted if moments is None else wanted[:, moments]

    def kernel(self, A: Tensor, S: Tensor, block: int) -> "Kernel | None":
        """Return a scriptable :class:`Kernel` with the constants folded in, or ``None`` if there is none.

        ``A[f, m]`` is ``dx/dε`` and ``S[m, g]`` maps the answer to stress, both float64.
        """
        return None


class Kernel(nn.Module, ABC):
    """A network made ready for inference: scales folded into the weights, buffers for one block of rows.

    Made by :meth:`Network.kernel`, scripted by the learned law. A kernel keeps scratch memory between calls but no
    information. One that calls compiled code of its own sets ``compiled`` and is not scripted then.
    """

    compiled: bool = False

    @abstractmethod
    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write ``stress[b, m]``, ``new_state[b, h]`` and, unless it is ``None``, ``tangent[b, m·m]`` in place.

        ``x[b, f + 1]`` are the features with a last column of ones, which carries the biases through the products, and
        ``state[b, h]`` is the old state; ``b`` is at most the block size.
        """


class Head(nn.Module):
    """The last, linear layer: ``y = V h + P x + b``.

    ``P`` is the elastic prior, the part of the answer that is linear in the features; ``b`` is left out when the
    answer at rest must be zero.
    """

    def __init__(self, hidden: int, features: int, outputs: int, *, prior: bool, bias: bool):
        super().__init__()
        bound = hidden**-0.5
        self.weight = nn.Parameter(torch.empty(outputs, hidden).uniform_(-bound, bound))
        self.prior = nn.Parameter(torch.zeros(outputs, features), requires_grad=prior)
        self.bias = nn.Parameter(torch.zeros(outputs), requires_grad=bias)

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        """Return ``y[..., g]`` from ``hidden[..., h]`` and the features ``x[..., f]``."""
        return hidden @ self.weight.T + x @ self.prior.T + self.bias

    def scaled(self, S: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``S V``, ``S P`` and ``S b`` in float64, for kernels: ``S[m, g]`` maps the answer to stress."""
        V, P, b = (S @ part.detach().double() for part in (self.weight, self.prior, self.bias))
        return V, P, b


@functools.cache
def native(name: str) -> bool:
    """Whether the compiled kernel ``name`` is at hand; without a compiler torch does the same, more slowly."""
    from pointlaw.errors import EnvironmentProblem
    from pointlaw.kernels.native import load_library

    try:
        load_library(name)
    except EnvironmentProblem as problem:
        log.info("The network runs without its compiled kernel: %s", problem)
        return False
    return True


def generator(seed: int | None) -> torch.Generator:
    """Return the source of first weights: one of its own for a ``seed``, torch's otherwise."""
    return torch.default_generator if seed is None else torch.Generator().manual_seed(seed)


def frozen_copy[N: Network](network: N, dtype: torch.dtype) -> N:
    """Return a copy of ``network`` in ``dtype``, ready for inference: without gradients on its weights."""
    copy = type(network)(**network.config).to(dtype)
    copy.load_state_dict(network.state_dict())
    return copy.eval().requires_grad_(False)


def autodiff_tangent(
    network: nn.Module, x: Tensor, state: Tensor, *, create_graph: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``y``, the new state and ``dy/dx[r, g, f]`` by ``g`` batched vector–Jacobian products of one step."""
    with torch.enable_grad():
        leaf = x if x.requires_grad else x.detach().requires_grad_(True)
        y, new_state = network(leaf, state)
        rows = []
        for component in range(y.shape[1]):
            (row,) = torch.autograd.grad(
                y[:, component].sum(), leaf, retain_graph=True, create_graph=create_graph, materialize_grads=True
            )
            rows.append(row)
    tangent = torch.stack(rows, 1)
    if create_graph:
        return y, new_state, tangent
    return y.detach(), new_state.detach(), tangent


def script(module: nn.Module) -> torch.jit.ScriptModule:
    """Compile ``module`` with ``torch.jit.script``: the one place where that is done.

    TorchScript is deprecated upstream (the warning is silenced here) and is what deployed laws use today.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        return torch.jit.script(module)


def load_script(content: bytes) -> torch.jit.ScriptModule:
    """Return the module in the bytes of a TorchScript file, on the CPU. This runs its author's code: hash it first.

    Raises ``RuntimeError`` when the bytes are not TorchScript.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        return torch.jit.load(io.BytesIO(content), map_location="cpu")
