"""Any law of the contract as a neuron: its own update forward, its consistent tangent and differences backward.

:class:`LawPoints` is a group of :class:`~pointlaw.networks.material_points.MaterialPoints` whose points are answered
by one call of a law in NumPy, with all rows and points in one batch. Its parameters are known; encoders and weights are
what is learned. :class:`PointsKernel` is the deployed step of a network with such points: one call of the law gives
stress, tangent and state, and the tangent of the network is a closed form of it. The room that knows the laws
(``pointlaw.laws``) derives the class that makes a law from its name.
"""

import functools
import json
import weakref
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from pointlaw.networks.base import Kernel
from pointlaw.networks.differences import Answer, Law, LawBatch
from pointlaw.networks.points import Points

# A scripted module keeps no Python objects: called from there, the same description finds the same law.
_BATCHES: dict[str, LawBatch] = {}
_KERNELS: "weakref.WeakValueDictionary[int, PointsKernel]" = weakref.WeakValueDictionary()


class LawPoints(Points):
    """Points that are answered by a law of the contract.

    Parameters
    ----------
    size, count : int
        As for :class:`~pointlaw.networks.points.Points`; the law has ``size`` components. A law whose parameters differ
        from point to point takes ``count`` of them, one for each neuron.
    time : float, optional
        For laws that know time: the length of one unit of the feature dt, which is the mean step of the training data,
        in the law's unit of time.
    amplitude : float
        Strain that is typical of the data; the steps of differences follow from it.
    **description
        What :meth:`make` makes the law of.

    State: the law's own, without its virgin values. Points where the law fails answer NaN. First derivatives by the
    strain of a step are the law's tangent and may be differentiated again, by differences; all others are differences
    and may not. Raises ``ValueError`` with a sentence for a law that does not fit.
    """

    __jit_ignored_attributes__: ClassVar[list[str]] = ["batch"]

    def __init__(
        self, *, size: int, count: int, time: float | None = None, amplitude: float = 0.02, **description: Any
    ):
        if unknown := sorted({"learn", "own"} & description.keys()):
            raise ValueError(f"the parameters of a law as a neuron are known: {unknown[0]} is for the other kinds")
        if not (0.0 < amplitude < 10.0 and (time is None or 0.0 < time < float("inf"))):
            raise ValueError(f"amplitude and time are positive numbers; got {amplitude} and {time}")
        law = self.make(**description)
        name, kinematics = type(law).__name__, law.kinematics
        if kinematics.finite:
            raise ValueError(f"{name} is a law of {kinematics}; neurons take the small strain of their network")
        if kinematics.size != size:
            raise ValueError(
                f"{name} is a law of {kinematics}, the network has {size} components; wrap the law, for instance "
                "in PlaneStrain"
            )
        super().__init__(size=size, count=count, start={}, memory=law.state_layout.size)
        self.timed = time is not None
        self.batch = LawBatch(law, count, time=time, amplitude=amplitude)
        try:
            self.key = json.dumps([type(self).__qualname__, count, time, amplitude, description])
        except TypeError as error:
            raise ValueError(f"a law as a neuron is described by plain data, as JSON holds it: {error}") from error
        _BATCHES[self.key] = self.batch

    @classmethod
    @abstractmethod
    def make(cls, **description: Any) -> Law:
        """Return the law of these points; ``description`` is plain data, so that a law file can hold it."""

    def forward(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return stress and state; see :meth:`Points.forward`."""
        return self.ask(strain, state, dt)

    @torch.jit.ignore
    def ask(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return stress and state by one call of the law, with derivatives where they are wanted."""
        wanted = torch.is_grad_enabled() and (strain.requires_grad or state.requires_grad or dt.requires_grad)
        batch = self.batch if hasattr(self, "batch") else _BATCHES[self.key]
        stress, new, _ = LawStep.apply(strain, state, dt, batch, wanted)
        return stress, new

    @torch.jit.unused
    def tangent(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return stress, state and tangent ``dσ/dε [r, k, m, m]``, without further derivatives."""
        with torch.no_grad():
            answer: tuple[Tensor, Tensor, Tensor] = LawStep.apply(strain, state, dt, self.batch, True)
        return answer


class LawStep(torch.autograd.Function):
    """One call of a law: stress, state and tangent, differentiable once, and the tangent's part of it twice."""

    @staticmethod
    def forward(
        ctx: Any, strain: Tensor, memory: Tensor, dt: Tensor, batch: LawBatch, wanted: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return stress ``[r, k, m]``, memory ``[r, k, s]`` and tangent ``[r, k, m, m]``, empty unless ``wanted``."""
        rows, k, m = strain.shape
        first = batch.start(rows)
        inputs = (
            _numpy(strain).reshape(-1, m),
            _numpy(memory).reshape(-1, batch.s) + first,
            _numpy(dt).repeat(k),
        )
        answer = batch.ask(*inputs, tangent=wanted)

        def tensor(array: Any, *shape: int) -> Tensor:
            return torch.from_numpy(array).to(strain).view(rows, k, *shape)

        stress, new = tensor(answer.stress, m), tensor(answer.state - first, batch.s)
        tangent = strain.new_empty(0) if answer.tangent is None else tensor(answer.tangent, m, m)
        if wanted:
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(tangent)
            ctx.batch, ctx.inputs, ctx.answer = batch, inputs, answer
        return stress, new, tangent

    @staticmethod
    def backward(
        ctx: Any, stress_: Tensor | None, memory_: Tensor | None, tangent_: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the derivatives by strain, memory and dt from those by stress, memory and tangent."""
        (tangent,) = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        by_strain: Tensor | None = None
        # Of a stress alone the law's tangent is the whole derivative by the strain. To be differentiated again it is
        # taken so; otherwise the differences that go with it know where it lies beside a kink.
        alone = memory_ is None and tangent_ is None
        if alone and (torch.is_grad_enabled() or not any(wanted[1:])):
            if stress_ is not None and wanted[0]:
                by_strain = (tangent.transpose(-1, -2) @ stress_.unsqueeze(-1)).squeeze(-1)
            wanted[0] = False
        products: tuple[Tensor | None, ...] = (None, None, None)
        if any(wanted) and not (alone and stress_ is None):
            products = _Products.apply(stress_, memory_, tangent_, tangent, ctx.batch, ctx.inputs, ctx.answer, wanted)
        return (products[0] if by_strain is None else by_strain), products[1], products[2], None, None


class _Products(torch.autograd.Function):
    """Derivatives by differences. They cannot be differentiated again, and say so instead of being taken for zero."""

    @staticmethod
    def forward(
        ctx: Any, stress_: Tensor | None, memory_: Tensor | None, tangent_: Tensor | None, like: Tensor,
        batch: LawBatch, inputs: tuple[Any, Any, Any], answer: Answer, wanted: list[bool],
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        """Return the cotangents of strain ``[r, k, m]``, memory ``[r, k, s]`` and dt ``[r, 1]``."""
        rows, k, m, s = *like.shape[:2], batch.m, batch.s

        def flat(cotangent: Tensor | None, *shape: int) -> Any:
            zero = torch.zeros(rows * k, *shape) if cotangent is None else cotangent.reshape(rows * k, *shape)
            return _numpy(zero)

        products = batch.pull_back(
            *inputs, answer, flat(stress_, m), flat(memory_, s), None if tangent_ is None else flat(tangent_, m, m),
            by_strain=wanted[0], by_state=wanted[1], by_time=wanted[2],
        )  # fmt: skip
        parts = torch.from_numpy(products).to(like).view(rows, k, m + s + 1).split([m, s, 1], 2)
        values = (parts[0], parts[1], parts[2].sum(1))
        return tuple(value if needed else None for value, needed in zip(values, wanted, strict=True))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[None, ...]:
        """Refuse, unless nothing is asked for."""
        if any(cotangent is not None and bool(cotangent.any()) for cotangent in cotangents):
            raise RuntimeError(
                "A law as a neuron has second derivatives by the strain of a single step only: train on tangents with "
                "steps=1."
            )
        return (None,) * 8


class PointsKernel(Kernel):
    """The step of a network of material points, with its tangent ``Σ Dᵀ C E`` from the tangents ``C`` of the points."""

    compiled = True  # as good as: every call goes through Python, so that more rows in one of them cost less
    __jit_ignored_attributes__: ClassVar[list[str]] = ["network"]
    A: Tensor
    S: Tensor

    def __init__(self, network: Any, A: Tensor, S: Tensor):
        super().__init__()
        copy: Any = type(network)(**network.config).double().requires_grad_(False)
        copy.load_state_dict(network.state_dict())
        self.network = [copy]  # in a list: neither compiled nor made single precision with this module
        self.number = id(self)
        _KERNELS[self.number] = self
        self.register_buffer("A", A.double().clone())
        self.register_buffer("S", S.double().clone())

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress, state and tangent of one block; see :meth:`Kernel.forward`."""
        self.write(x, state, stress, new_state, tangent)

    @torch.jit.ignore
    def write(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write as :meth:`forward` does."""
        (network,) = self.network if hasattr(self, "network") else _KERNELS[self.number].network
        x, state, rows, m = x.double()[:, : network.features], state.double(), len(x), network.outputs
        local, dt = network.localise(x[:, :m]), network.times(x)
        first, begin = 0, 0
        parts, moduli = [], []
        for group, k, s in zip(network.groups, network.counts, network.memories, strict=True):
            memory = state[:, begin : begin + k * s].reshape(rows, k, s)
            inputs = local[:, first : first + k], memory, dt
            if tangent is None:
                answer, new = group(*inputs)
            else:
                slopes_of = group.tangent if isinstance(group, LawPoints) else functools.partial(_slopes, group)
                answer, new, slopes = slopes_of(*inputs)
                moduli.append(slopes)
            parts.append(answer)
            new_state[:, begin : begin + k * s] = new.flatten(1)
            first, begin = first + k, begin + k * s
        S, A = self.S.to(x), self.A.to(x)
        stress.copy_(network.answer(torch.cat(parts, 1)) @ S.T)
        if tangent is not None:
            chained = torch.cat(moduli, 1) @ network.encoder  # [r, k, m, m]
            slope = network.answer(chained.permute(0, 3, 1, 2))  # [r, m (of the strain), m]
            tangent.copy_((S @ slope.transpose(1, 2) @ A[:m]).flatten(1))


def _slopes(group: Points, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return stress, state and tangent ``[r, k, m, m]`` of points written in torch: rows and points are independent."""
    with torch.enable_grad():
        leaf = strain.detach().requires_grad_()
        stress, new = group(leaf, state, dt)
        rows = [torch.autograd.grad(part.sum(), leaf, retain_graph=True)[0] for part in stress.unbind(-1)]
    return stress.detach(), new.detach(), torch.stack(rows, -2)


def _numpy(tensor: Tensor) -> Any:
    """Return the numbers of a tensor in NumPy, float64."""
    return tensor.detach().to("cpu", torch.float64).numpy()
