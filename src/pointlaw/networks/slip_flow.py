"""One implicit step of slip systems under one stress, for many rows, and the adjoint of a whole path of such steps.

Coordinates are those of the elastic energy: with the stiffness ``C₀ = Uᵀ U`` a strain is ``U x``, a stress ``U⁻ᵀ σ``,
and Hooke's law the identity. The unknowns of a step are the stress and the hardening of every system. The hardening
matrix is ``q + (1 − q) δ``, so the hardening is eliminated in closed form (Sherman & Morrison 1950, doi
10.1214/aoms/1177729893) and a Newton step solves as many equations as there are components. The way back through a
path solves one linear system a step.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pointlaw.kernels.native import load_library
from pointlaw.networks.base import native


class Slip(NamedTuple):
    """Slip of a step at given stress and hardening, all ``[r, K]``.

    ``increment`` is Δγ, ``k = ∂Δγ/∂τ``, ``ratio = τ/g``, ``h`` the hardening rate.
    """

    increment: Tensor
    k: Tensor
    ratio: Tensor
    h: Tensor


def slip(t: Tensor, a: Tensor, length: Tensor, A: Tensor, law: Tensor) -> Slip:
    """Return the slip over the strain length ``length[r, 1]`` at stress ``t[r, m]`` and hardening ``a[r, K]``.

    ``A[K, m]`` are the systems, ``law[5, K]`` the first resistance, the most that hardening adds, its first rate, the
    latent ratio q (one number) and the exponent n: ``Δγ = L |τ/g|ⁿ sign τ``.
    """
    g = law[0] + a
    ratio = (t @ A.T) / g
    power = length * ratio.abs().pow(law[4] - 1.0)
    return Slip(power * ratio, law[4] * power / g, ratio, law[2] * (1.0 - a / law[1]))


def residual(
    now: Slip, t: Tensor, a: Tensor, trial: Tensor, old: Tensor, A: Tensor, law: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what is left of the equations of stress ``[r, m]`` and of hardening ``[r, K]``."""
    own = now.h * now.increment.abs()
    q = law[3]
    return t + now.increment @ A - trial, a - old - (1.0 - q) * own - q * own.sum(1, keepdim=True)


class Linear(NamedTuple):
    """The derivative of both equations with the hardening eliminated; ``matrix[r, m, m]``, the others ``[r, K]``."""

    matrix: Tensor
    pull: Tensor
    kx: Tensor
    d: Tensor
    delta: Tensor
    c: Tensor


def linearise(now: Slip, A: Tensor, law: Tensor) -> Linear:
    """Return the linear equations of a Newton step."""
    q = law[3]
    d = -law[2] / law[1] * now.increment.abs() - now.h * now.k * now.ratio.abs()
    delta = 1.0 / (1.0 - (1.0 - q) * d)
    c = q / (1.0 - q * (d * delta).sum(1, keepdim=True))
    pull = now.h * now.ratio.sign() * now.k
    kx = now.k * now.ratio
    weight = now.k - (1.0 - q) * kx * delta * pull
    left, right = -c * kx * delta, pull * delta
    dyads = (A.unsqueeze(2) * A.unsqueeze(1)).flatten(1)
    m = A.shape[1]
    matrix = (weight @ dyads).view(-1, m, m) + (left @ A).unsqueeze(2) * (right @ A).unsqueeze(1)
    return Linear(matrix + torch.eye(m, dtype=A.dtype, device=A.device), pull, kx, d, delta, c)


def newton_step(linear: Linear, rt: Tensor, ra: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return the changes of stress and hardening that take the residuals ``rt[r, m]``, ``ra[r, K]`` to zero."""
    q = law[3]
    scaled = linear.delta * ra
    slow = scaled + linear.c * linear.delta * (linear.d * scaled).sum(1, keepdim=True)
    dt = torch.linalg.solve_ex(linear.matrix, -rt - (linear.kx * slow) @ A)[0]
    scaled = linear.delta * linear.pull * (dt @ A.T)
    return dt, (1.0 - q) * scaled + linear.c * linear.delta * scaled.sum(1, keepdim=True) - slow


def norm(rt: Tensor, ra: Tensor, a: Tensor, law: Tensor) -> Tensor:
    """Return the size ``[r]`` of the residual; infinite where a resistance is not positive."""
    size = (rt.square().sum(1) + ra.square().sum(1)).sqrt() / law[0].mean()
    return torch.where((law[0] + a > 0.0).all(1), size, torch.full_like(size, float("inf")))


def newton(
    t: Tensor,
    a: Tensor,
    trial: Tensor,
    old: Tensor,
    length: Tensor,
    A: Tensor,
    law: Tensor,
    tolerance: float,
    iterations: int = 60,
    halvings: int = 12,
) -> tuple[Tensor, Tensor, Tensor]:
    """Solve both equations from the guess ``t``, ``a``; return stress, hardening and which rows are solved.

    A row that is solved or stuck stays as it is: no row sees another. The residual is measured in mean first
    resistances; one above 1e100 comes from absurd input, and one that rounding keeps from ``tolerance`` is good
    enough below 1e-7.
    """
    now = slip(t, a, length, A, law)
    rt, ra = residual(now, t, a, trial, old, A, law)
    size = norm(rt, ra, a, law)
    solved = size <= tolerance
    active = (size > tolerance) & (size < 1e100)
    for _ in range(iterations):
        if not bool(active.any()):
            break
        dt, da = newton_step(linearise(now, A, law), rt, ra, A, law)
        share = torch.ones_like(size)
        moved_t, moved_a = t + dt, a + da
        next_ = slip(moved_t, moved_a, length, A, law)
        next_t, next_a = residual(next_, moved_t, moved_a, trial, old, A, law)
        next_size = norm(next_t, next_a, moved_a, law)
        for _halving in range(halvings):
            worse = active & ~(next_size <= (1.0 - 1e-4 * share) * size)
            if not bool(worse.any()):
                break
            share = torch.where(worse, 0.5 * share, share)
            moved_t, moved_a = t + share.unsqueeze(1) * dt, a + share.unsqueeze(1) * da
            next_ = slip(moved_t, moved_a, length, A, law)
            next_t, next_a = residual(next_, moved_t, moved_a, trial, old, A, law)
            next_size = norm(next_t, next_a, moved_a, law)
        better = active & (next_size < size)
        solved = solved | (active & ((better & (next_size <= tolerance)) | (~better & (size <= 1e-7))))
        b = better.unsqueeze(1)
        t, a = torch.where(b, moved_t, t), torch.where(b, moved_a, a)
        rt, ra, size = torch.where(b, next_t, rt), torch.where(b, next_a, ra), torch.where(better, next_size, size)
        now = slip(t, a, length, A, law) if not bool(better.all()) else next_
        active = better & ~solved
    return t, a, solved


def first_guess(trial: Tensor, a: Tensor, length: Tensor, A: Tensor, law: Tensor) -> Tensor:
    """Return the trial stress shortened to where slip can be: it cannot exceed the strain at hand."""
    strongest = ((trial @ A.T) / (law[0] + a)).abs().amax(1, keepdim=True)
    room = 2.0 * trial.square().sum(1, keepdim=True).sqrt() / length.clamp_min(1e-300)
    bound = room.pow(1.0 / law[4].amax())
    return trial * torch.where(strongest > bound, bound / strongest.clamp_min(1e-300), torch.ones_like(bound))


def solve(t: Tensor, a: Tensor, d: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return stress ``[r, m]`` and hardening ``[r, K]`` after the increment ``d[r, m]``, without a graph.

    Rows that Newton's method does not solve at once follow the solution from small exponents to n; those that are not
    solved then answer NaN. Computes in float64 whatever the type of the arguments is.
    """
    dtype = t.dtype
    t, a, d = t.detach().double(), a.detach().double(), d.detach().double()
    A, law = A.detach().double(), law.detach().double()
    length, trial = d.square().sum(1, keepdim=True).sqrt(), t + d
    start = first_guess(trial, a, length, A, law)
    new_t, new_a, solved = newton(start, a, trial, a, length, A, law, 1e-12)
    rows = torch.nonzero(~solved & torch.isfinite(trial.sum(1) + a.sum(1)))[:, 0]
    if rows.shape[0] > 0:
        found_t, found_a, found = harden(trial[rows], a[rows], length[rows], A, law)
        new_t, new_a = new_t.index_put([rows], found_t), new_a.index_put([rows], found_a)
        solved = solved.index_put([rows], found)
    failed = torch.full_like(new_t, float("nan"))
    return torch.where(solved.unsqueeze(1), new_t, failed).to(dtype), new_a.to(dtype)


def harden(trial: Tensor, old: Tensor, length: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Solve like :func:`newton`, first with a small exponent, and follow the solution in ratios of 1.5 to n."""
    hard = float(law[4].amax())
    n, going = min(6.0, hard), True
    t, a, solved, softer = trial, old, torch.zeros_like(length[:, 0]) > 0.0, law.clone()
    while going:
        going = n < hard
        softer[4] = law[4].clamp_max(n)
        t = first_guess(t, a, length, A, softer)
        t, a, solved = newton(t, a, trial, old, length, A, softer, 1e-2 if going else 1e-12)
        n = min(1.5 * n, hard)
    return t, a, solved


def advance(t: Tensor, a: Tensor, d: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return stress and hardening after the increment ``d[r, m]``, with their first derivatives.

    Newton's method runs on constants; one more step of it from the solution carries the derivatives.
    """
    new_t, new_a = solve(t, a, d, A, law)
    fixed_A, fixed_law = A.detach(), law.detach()
    length = span(d)
    linear = linearise(slip(new_t, new_a, length.detach(), fixed_A, fixed_law), fixed_A, fixed_law)
    rt, ra = residual(slip(new_t, new_a, length, A, law), new_t, new_a, t + d, a, A, law)
    dt, da = newton_step(linear, rt, ra, fixed_A, fixed_law)
    return new_t + dt, new_a + da


def span(d: Tensor) -> Tensor:
    """Return the length ``[r, 1]`` of ``d[r, m]``, with the derivative 0 at 0."""
    square = d.square().sum(-1, keepdim=True)
    moves = square > 0.0
    return torch.where(moves, torch.where(moves, square, torch.ones_like(square)).sqrt(), square)


def stiffness(t: Tensor, a: Tensor, d: Tensor, A: Tensor, law: Tensor) -> Tensor:
    """Return ``dt/dd[r, m, m]`` at the solution ``t``, ``a`` of a step ``d``, the hardening eliminated."""
    length = span(d)
    now = slip(t, a, length, A, law)
    linear = linearise(now, A, law)
    # The length of the increment drives the slip as well: dΔγ = Δγ dL/L with dL = d·dd/L.
    safe = torch.where(length > 0.0, length, torch.ones_like(length))
    rate = now.increment / safe
    own = now.h * rate.abs()
    pushed = -(1.0 - law[3]) * own - law[3] * own.sum(1, keepdim=True)
    scaled = linear.delta * pushed
    slow = scaled + linear.c * linear.delta * (linear.d * scaled).sum(1, keepdim=True)
    pull = -(rate + linear.kx * slow) @ A
    right = torch.eye(d.shape[1], dtype=d.dtype, device=d.device) + pull.unsqueeze(2) * (d / safe).unsqueeze(1)
    return torch.linalg.solve_ex(linear.matrix, right)[0]


def plain_path(d: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return stresses ``[r, t, m]`` and hardening ``[r, t, K]`` along ``d[r, t, m]`` from the virgin state."""
    stress, hard = torch.zeros_like(d[:, 0]), d.new_zeros(len(d), len(A))
    stresses, hards = [], []
    for increment in d.unbind(1):
        stress, hard = solve(stress, hard, increment, A, law)
        stresses.append(stress)
        hards.append(hard)
    return torch.stack(stresses, 1), torch.stack(hards, 1)


def fits(m: int, systems: int) -> bool:
    """Whether the compiled step is at hand and has room for so many components and systems."""
    return m <= 16 and systems <= 128 and native("slip")


def pointer(ffi: Any, array: Tensor | None) -> Any:
    """Return the address of the first number of ``array`` for compiled code."""
    return ffi.NULL if array is None else ffi.cast("double *", array.data_ptr())


def native_path(d: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same as :func:`plain_path` by compiled code."""
    ffi, library = load_library("slip")
    arrays = [array.double().contiguous() for array in (A, law, d)]
    stress, hardening = torch.empty_like(arrays[2]), arrays[2].new_empty(*d.shape[:2], len(A))
    library.slip_scan(*d.shape, len(A), *(pointer(ffi, array) for array in (*arrays, stress, hardening)))
    return stress.to(d.dtype), hardening.to(d.dtype)


def native_step(
    t: Tensor, a: Tensor, d: Tensor, A: Tensor, law: Tensor, new_t: Tensor, new_a: Tensor, slope: Tensor | None
) -> None:
    """Write what :func:`solve` and :func:`stiffness` return by compiled code, all float64 with dense rows."""
    ffi, library = load_library("slip")
    library.slip_rows(
        len(d), d.shape[1], len(A), pointer(ffi, A), pointer(ffi, law), pointer(ffi, t), t.stride(0), pointer(ffi, a),
        a.stride(0), pointer(ffi, d), pointer(ffi, new_t), new_t.stride(0), pointer(ffi, new_a), new_a.stride(0),
        pointer(ffi, slope),
    )  # fmt: skip


class SlipPath(torch.autograd.Function):
    """All steps of all paths ``d[r, t, m]`` from the virgin state; returns the stresses ``[r, t, m]`` after each step.

    First derivatives only.
    """

    @staticmethod
    def forward(ctx: Any, d: Tensor, A: Tensor, law: Tensor) -> Tensor:
        """Return the stresses."""
        compiled = d.device.type == "cpu" and fits(d.shape[2], len(A))
        stress, hardening = (native_path if compiled else plain_path)(d, A, law)
        ctx.save_for_backward(d, A, law, stress, hardening)
        return stress

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the derivatives by increments, systems and law."""
        d, A, law, t, a = ctx.saved_tensors
        before = [torch.nn.functional.pad(v, (0, 0, 1, 0))[:, :-1].flatten(0, 1) for v in (t, a)]
        m, K, q = d.shape[2], len(A), law[3]
        t, a, increment = t.flatten(0, 1), a.flatten(0, 1), d.flatten(0, 1)
        now = slip(t, a, span(increment), A, law)
        linear = linearise(now, A, law)
        J = torch.zeros(len(t), m + K, m + K, dtype=d.dtype, device=d.device)
        J[:, :m, :m] = (A.T * now.k.unsqueeze(1)) @ A
        J[:, :m, m:] = -A.T * linear.kx.unsqueeze(1)
        for part, columns in ((linear.pull, slice(m)), (linear.d, slice(m, None))):
            by = A if columns.stop == m else torch.eye(K, dtype=d.dtype, device=d.device)
            own = part.unsqueeze(2) * by
            J[:, m:, columns] = -(1.0 - q).unsqueeze(1) * own - (q[0] * own.sum(1, keepdim=True))
        J.diagonal(dim1=1, dim2=2).add_(1.0)
        inverse = torch.linalg.inv_ex(J)[0].unflatten(0, d.shape[:2])
        carried = torch.zeros_like(inverse[:, 0, 0])
        multipliers = []
        pulls = torch.nn.functional.pad(grads[0], (0, K))
        for pull, back in zip(reversed(pulls.unbind(1)), reversed(inverse.unbind(1)), strict=True):
            carried = torch.matmul((carried + pull).unsqueeze(1), back).squeeze(1)
            multipliers.append(carried)
        mu = torch.stack(multipliers[::-1], 1).flatten(0, 1)
        with torch.enable_grad():
            leaves = [value.detach().requires_grad_() for value in (increment, A, law)]
            step, systems, values = leaves
            again = slip(t, a, span(step), systems, values)
            left = residual(again, t, a, before[0] + step, before[1], systems, values)
        by_step, by_A, by_law = torch.autograd.grad(left, leaves, (-mu[:, :m], -mu[:, m:]))
        return by_step.view_as(d), by_A, by_law
