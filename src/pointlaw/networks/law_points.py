"""Any law of the contract as a neuron: its own update forward, its consistent tangent and differences backward.

:class:`LawPoints` is a group of :class:`~pointlaw.networks.material_points.MaterialPoints` whose points are answered
by one call of a law in NumPy, with all rows and points in one batch. Its parameters are known; encoders and weights are
what is learned. :class:`PointsKernel` is the deployed step of a network with such points: one call of the law gives
stress, tangent and state, and the tangent of the network is a closed form of it. The room that knows the laws
(``pointlaw.laws``) derives the class that makes a law from its name.
"""

import json
import weakref
from abc import abstractmethod
from typing import Any, ClassVar
from uuid import uuid4

import torch
from torch import Tensor

from pointlaw.networks.base import Kernel, frozen_copy
from pointlaw.networks.differences import Answer, Law, LawBatch
from pointlaw.networks.points import Points

# A scripted module keeps no Python objects: called from there, the same description finds the same law.
_BATCHES: dict[str, LawBatch] = {}
_KERNELS: "weakref.WeakValueDictionary[str, PointsKernel]" = weakref.WeakValueDictionary()


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

    Notes
    -----
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
        """Return stress, state and tangent ``dσ/dε [r, k, m, m]`` by one call of the law."""
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
        first, inputs = batch.start(rows), _inputs(strain, memory, dt, batch)
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
        _refuse(*cotangents)
        return (None,) * 8


class _ByTime(torch.autograd.Function):
    """The derivative of the stress by the length of the step, by differences; it cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, strain: Tensor, memory: Tensor, dt: Tensor, batch: LawBatch) -> Tensor:
        """Return ``dσ/ddt [r, k, m]``."""
        return torch.from_numpy(batch.by_time(*_inputs(strain, memory, dt, batch))).to(strain).view(strain.shape)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[None, ...]:
        """Refuse, unless nothing is asked for."""
        _refuse(*cotangents)
        return (None,) * 4


def _refuse(*cotangents: Tensor | None) -> None:
    """Raise ``RuntimeError`` where second derivatives are asked for that are not known."""
    if any(cotangent is not None and bool(cotangent.any()) for cotangent in cotangents):
        raise RuntimeError(
            "A law as a neuron has second derivatives by the strain of a single step only: train on tangents with "
            "steps=1."
        )


def _inputs(strain: Tensor, memory: Tensor, dt: Tensor, batch: LawBatch) -> tuple[Any, Any, Any]:
    """Return strain, state and length of the step of all points in NumPy; the memory lacks the virgin state."""
    rows, k, m = strain.shape
    state = _numpy(memory).reshape(-1, batch.s) + batch.start(rows)
    return _numpy(strain).reshape(-1, m), state, _numpy(dt).repeat(k)


class PointsKernel(Kernel):
    """The step of a network of material points, with its tangent ``Σ Dᵀ C E`` from the tangents ``C`` of the points."""

    compiled = True  # as good as: every call goes through Python, so that more rows in one of them cost less
    __jit_ignored_attributes__: ClassVar[list[str]] = ["network"]
    A: Tensor
    S: Tensor

    def __init__(self, network: Any, A: Tensor, S: Tensor):
        super().__init__()
        # In a list: neither compiled nor made single precision with this module.
        self.network = [frozen_copy(network, torch.float64)]
        self.name = uuid4().hex  # of its own: what is scripted may outlive this object, and then meet no other
        _KERNELS[self.name] = self
        self.register_buffer("A", A.double().clone())
        self.register_buffer("S", S.double().clone())

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress, state and tangent of one block; see :meth:`Kernel.forward`."""
        self.write(x, state, stress, new_state, tangent)

    @torch.jit.ignore
    def write(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write as :meth:`forward` does."""
        (network,) = self.network if hasattr(self, "network") else _KERNELS[self.name].network
        x, state = x.double()[:, : network.features], state.double()
        S, A = self.S.to(x), self.A.to(x)
        with torch.no_grad():
            if tangent is None:
                y, new = network.step(x, state)
            else:
                y, new, slope = step_in_closed_form(network, x, state, by_time=False)
                tangent.copy_((S @ slope @ A[: network.outputs]).flatten(1))
        stress.copy_(y @ S.T)
        new_state.copy_(new)


def step_in_closed_form(network: Any, x: Tensor, state: Tensor, *, by_time: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``y[r, m]``, the new state and ``dy/dx[r, m, f]``: ``Σ Dᵀ C E`` of the laws, the rest by differentiation.

    ``network`` is a :class:`~pointlaw.networks.material_points.MaterialPoints` that takes one step at a time; without
    ``by_time`` the derivatives end with those by the strain.
    """
    graph, m = torch.is_grad_enabled(), network.outputs
    leaf = x if x.requires_grad else x.detach().requires_grad_()
    slope = x.new_zeros(len(x), x.shape[1] if by_time else m, m)  # transposed
    others, answers, memories = [], [], []
    first = begin = 0
    with torch.enable_grad():
        local, dt = network.localise(leaf[:, :m]), network.times(leaf)
    for group, k, s in zip(network.groups, network.counts, network.memories, strict=True):
        part, memory = slice(first, first + k), state[:, begin : begin + k * s].reshape(len(x), k, s)
        if isinstance(group, LawPoints):
            stress, new, moduli = group.tangent(local[:, part], memory, dt)
            slope = slope + _padded(network.share((moduli @ network.encoder[part]).permute(0, 3, 1, 2), first), slope)
            if by_time and network.timed:
                moving = _ByTime.apply(local[:, part], memory, dt, group.batch)
                share = network.share(moving, first) * (x[:, m:] >= 0.0)  # no step is shorter than 0
                slope = slope + _padded(share.unsqueeze(1), slope, last=True)
            answers.append(network.share(stress, first))
        else:
            with torch.enable_grad():
                stress, new = group(local[:, part], memory, dt)
                others.append(network.share(stress, first))
        memories.append(new.flatten(1))
        first, begin = first + k, begin + k * s
    if others:
        with torch.enable_grad():
            rest = torch.stack(others).sum(0)
            sums = rest.sum(0).unbind()  # rows are independent
        rows = [torch.autograd.grad(part, leaf, retain_graph=True, create_graph=graph)[0] for part in sums]
        slope = slope + torch.stack(rows, 2)[:, : slope.shape[1]]
        answers.append(rest)
    found = torch.stack(answers).sum(0), torch.cat(memories, 1), slope.transpose(1, 2)
    return found if graph else (found[0].detach(), found[1].detach(), found[2].detach())


def _padded(rows: Tensor, like: Tensor, *, last: bool = False) -> Tensor:
    """Return ``rows[r, n, m]`` as the first, or the last, of as many rows as ``like`` has."""
    missing = like.shape[1] - rows.shape[1]
    return torch.nn.functional.pad(rows, (0, 0, missing, 0) if last else (0, 0, 0, missing))


def _numpy(tensor: Tensor) -> Any:
    """Return the numbers of a tensor in NumPy, float64."""
    return tensor.detach().to("cpu", torch.float64).numpy()
