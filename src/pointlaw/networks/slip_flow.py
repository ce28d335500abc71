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

    ``increment`` is Δγ, ``k = ∂Δγ/∂τ``, ``ratio = τ/g``, ``hardened`` the hardening that this slip leads to, ``b`` its
    slope with the slip that counts, and ``left`` the share of what was left to saturation that is left now.
    """

    increment: Tensor
    k: Tensor
    ratio: Tensor
    hardened: Tensor
    left: Tensor
    b: Tensor


def slip(t: Tensor, a: Tensor, old: Tensor, length: Tensor, A: Tensor, law: Tensor) -> Slip:
    """Return the slip over the strain length ``length[r, 1]`` at stress ``t[r, m]`` and hardening ``a[r, K]``.

    ``A[K, m]`` are the systems, ``law[5, K]`` the first resistance g₀, the most c that hardening adds, its first rate
    h₀, the latent ratio q and the exponent n (one number each): ``Δγ = L |τ/(g₀ + a)|ⁿ sign τ``. With the slip that
    counts, ``s = Σ (q + (1 − q) δ) |Δγ|``, the hardening ``old[r, K]`` becomes ``c − (c − old) exp(−h₀ s/c)``.
    """
    g = law[0] + a
    ratio = (t @ A.T) / g
    # Never 0, where a power below 1 has no slope. The slip itself is 0 there: the ratio is a factor of it.
    size = ratio.abs().clamp_min(1e-36 if ratio.dtype == torch.float32 else 1e-280)
    power = length * size.pow(law[4] - 1.0)
    increment, rate = power * ratio, law[2] / law[1]
    left = (-rate * counted(increment.abs(), law[3])).exp()
    room = (law[1] - old) * left
    return Slip(increment, law[4] * power / g, ratio, law[1] - room, left, rate * room)


def counted(amount: Tensor, q: Tensor) -> Tensor:
    """Return ``Σ (q + (1 − q) δ) amount`` over the systems, ``[r, K]``."""
    return (1.0 - q) * amount + q * amount.sum(1, keepdim=True)


def residual(now: Slip, t: Tensor, a: Tensor, trial: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is left of the equations of stress ``[r, m]`` and of hardening ``[r, K]``."""
    return t + now.increment @ A - trial, a - now.hardened


class Linear(NamedTuple):
    """The derivative of both equations with the hardening eliminated; ``matrix[r, m, m]``, the others ``[r, K]``."""

    matrix: Tensor
    pull: Tensor
    kx: Tensor
    delta: Tensor
    beta: Tensor
    c: Tensor


def linearise(now: Slip, A: Tensor, law: Tensor) -> Linear:
    """Return the linear equations of a Newton step.

    The derivative of the second equation by the hardening is ``1 + (1 − q) b κ`` on the diagonal and ``q b ⊗ κ``, with
    ``κ = −∂|Δγ|/∂g``.
    """
    q, sign = law[3], now.ratio.sign()
    kx = now.k * now.ratio
    kappa = kx.abs()
    delta = 1.0 / (1.0 + (1.0 - q) * now.b * kappa)
    beta = delta * now.b
    c = q / (1.0 + q * (kappa * beta).sum(1, keepdim=True))
    left, right = -c * kx * beta, delta * sign * now.k
    dyads = (A.unsqueeze(2) * A.unsqueeze(1)).flatten(1)
    m = A.shape[1]
    matrix = ((now.k * delta) @ dyads).view(-1, m, m) + (left @ A).unsqueeze(2) * (right @ A).unsqueeze(1)
    return Linear(matrix + torch.eye(m, dtype=A.dtype, device=A.device), sign * now.k, kx, delta, beta, c)


def spread_hardening(linear: Linear, amount: Tensor, q: Tensor) -> Tensor:
    """Return the change of hardening ``[r, K]`` when ``amount`` is added to ``|Δγ|``, its own feedback included."""
    return (1.0 - q) * linear.beta * amount + linear.c * linear.beta * (linear.delta * amount).sum(1, keepdim=True)


def newton_step(linear: Linear, rt: Tensor, ra: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return the changes of stress and hardening that take the residuals ``rt[r, m]``, ``ra[r, K]`` to zero."""
    scaled = linear.delta * ra
    slow = scaled - linear.c * linear.beta * (linear.kx.abs() * scaled).sum(1, keepdim=True)
    dt = torch.linalg.solve_ex(linear.matrix, -rt - (linear.kx * slow) @ A)[0]
    return dt, spread_hardening(linear, linear.pull * (dt @ A.T), law[3]) - slow


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
    now = slip(t, a, old, length, A, law)
    rt, ra = residual(now, t, a, trial, A)
    size = norm(rt, ra, a, law)
    solved = size <= tolerance
    active = (size > tolerance) & (size < 1e100)
    for _ in range(iterations):
        if not bool(active.any()):
            break
        dt, da = newton_step(linearise(now, A, law), rt, ra, A, law)
        share = torch.ones_like(size)
        moved_t, moved_a = t + dt, a + da
        next_ = slip(moved_t, moved_a, old, length, A, law)
        next_t, next_a = residual(next_, moved_t, moved_a, trial, A)
        next_size = norm(next_t, next_a, moved_a, law)
        for _halving in range(halvings):
            worse = active & ~(next_size <= (1.0 - 1e-4 * share) * size)
            if not bool(worse.any()):
                break
            share = torch.where(worse, 0.5 * share, share)
            moved_t, moved_a = t + share.unsqueeze(1) * dt, a + share.unsqueeze(1) * da
            next_ = slip(moved_t, moved_a, old, length, A, law)
            next_t, next_a = residual(next_, moved_t, moved_a, trial, A)
            next_size = norm(next_t, next_a, moved_a, law)
        better = active & (next_size < size)
        solved = solved | (active & ((better & (next_size <= tolerance)) | (~better & (size <= 1e-7))))
        b = better.unsqueeze(1)
        t, a = torch.where(b, moved_t, t), torch.where(b, moved_a, a)
        rt, ra, size = torch.where(b, next_t, rt), torch.where(b, next_a, ra), torch.where(better, next_size, size)
        now = slip(t, a, old, length, A, law) if not bool(better.all()) else next_
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
    solved then answer NaN. Computes in float64 whatever the type of the arguments is, in compiled code if it can.
    """
    if not torch.jit.is_scripting():  # noqa: SIM102  (the compiler must see this condition on its own)
        if d.device.type == "cpu" and fits(d.shape[1], A.shape[0]):
            return native_solve(t, a, d, A, law)
    return plain_solve(t, a, d, A, law)


def plain_solve(t: Tensor, a: Tensor, d: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same in torch."""
    dtype = t.dtype
    t, a, d = t.detach().double(), a.detach().double(), d.detach().double()
    A, law = A.detach().double(), law.detach().double()
    length, trial = d.square().sum(1, keepdim=True).sqrt(), t + d
    start = first_guess(trial, a, length, A, law)
    new_t, new_a, solved = newton(start, a, trial, a, length, A, law, 1e-12)
    rows = torch.nonzero(~solved & torch.isfinite(trial.sum(1) + a.sum(1)))[:, 0]
    if rows.shape[0] > 0:
        found_t, found_a, found = follow_exponents(trial[rows], a[rows], length[rows], A, law)
        new_t, new_a = new_t.index_put([rows], found_t), new_a.index_put([rows], found_a)
        solved = solved.index_put([rows], found)
    failed = torch.full_like(new_t, float("nan"))
    return torch.where(solved.unsqueeze(1), new_t, failed).to(dtype), new_a.to(dtype)


def follow_exponents(
    trial: Tensor, old: Tensor, length: Tensor, A: Tensor, law: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
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
    now = slip(new_t, new_a, a.detach(), length.detach(), fixed_A, fixed_law)
    linear = linearise(now, fixed_A, fixed_law)
    rt, ra = residual(slip(new_t, new_a, a, length, A, law), new_t, new_a, t + d, A)
    dt, da = newton_step(linear, rt, ra, fixed_A, fixed_law)
    return new_t + dt, new_a + da


def span(d: Tensor) -> Tensor:
    """Return the length ``[r, 1]`` of ``d[r, m]``, with the derivative 0 at 0."""
    square = d.square().sum(-1, keepdim=True)
    moves = square > 0.0
    return torch.where(moves, torch.where(moves, square, torch.ones_like(square)).sqrt(), square)


def stiffness(t: Tensor, a: Tensor, old: Tensor, d: Tensor, A: Tensor, law: Tensor) -> Tensor:
    """Return ``dt/dd[r, m, m]`` at the solution ``t``, ``a`` of a step ``d`` from the hardening ``old``."""
    length = span(d)
    now = slip(t, a, old, length, A, law)
    linear = linearise(now, A, law)
    # The length of the increment drives the slip as well: dΔγ = Δγ dL/L with dL = d·dd/L.
    safe = torch.where(length > 0.0, length, torch.ones_like(length))
    rate = now.increment / safe
    pull = (linear.kx * spread_hardening(linear, rate.abs(), law[3]) - rate) @ A
    right = torch.eye(d.shape[1], dtype=d.dtype, device=d.device) + pull.unsqueeze(2) * (d / safe).unsqueeze(1)
    return torch.linalg.solve_ex(linear.matrix, right)[0]


def plain_path(d: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return stresses ``[r, t, m]`` and hardening ``[r, t, K]`` along ``d[r, t, m]`` from the virgin state."""
    stress, hard = torch.zeros_like(d[:, 0]), d.new_zeros(len(d), len(A))
    stresses, hards = [], []
    for increment in d.unbind(1):
        stress, hard = plain_solve(stress, hard, increment, A, law)
        stresses.append(stress)
        hards.append(hard)
    return torch.stack(stresses, 1), torch.stack(hards, 1)


@torch.jit.unused
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


@torch.jit.unused
def native_solve(t: Tensor, a: Tensor, d: Tensor, A: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same as :func:`plain_solve` by compiled code."""
    dtype = t.dtype
    t, a, d, A, law = (array.detach().double().contiguous() for array in (t, a, d, A, law))
    new_t, new_a = torch.empty_like(t), torch.empty_like(a)
    native_step(t, a, d, A, law, new_t, new_a, None)
    return new_t.to(dtype), new_a.to(dtype)


def native_step(
    t: Tensor, a: Tensor, d: Tensor, A: Tensor, law: Tensor, new_t: Tensor, new_a: Tensor, slope: Tensor | None
) -> None:
    """Write what :func:`plain_solve` and :func:`stiffness` return by compiled code, all float64 with dense rows."""
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
        t, a, increment = t.flatten(0, 1), a.flatten(0, 1), d.flatten(0, 1)
        now = slip(t, a, before[1], span(increment), A, law)
        inverse = torch.linalg.inv_ex(jacobian(now, A, law))[0].unflatten(0, d.shape[:2])
        m, K = d.shape[2], len(A)
        kept = torch.nn.functional.pad(now.left, (m, 0), value=1.0).unflatten(0, d.shape[:2])
        pulls = torch.nn.functional.pad(grads[0], (0, K))
        carried = torch.zeros_like(pulls[:, 0])
        multipliers = []
        for pull, back, share in reversed(list(zip(*(v.unbind(1) for v in (pulls, inverse, kept)), strict=True))):
            mu = torch.matmul((carried + pull).unsqueeze(1), back).squeeze(1)
            multipliers.append(mu)
            carried = mu * share  # the old stress enters the first equation as it is, the old hardening the second
        mu = torch.stack(multipliers[::-1], 1).flatten(0, 1)
        with torch.enable_grad():
            leaves = [value.detach().requires_grad_() for value in (increment, A, law)]
            step, systems, values = leaves
            again = slip(t, a, before[1], span(step), systems, values)
            left = residual(again, t, a, before[0] + step, systems)
        by_step, by_A, by_law = torch.autograd.grad(left, leaves, (-mu[:, :m], -mu[:, m:]))
        return by_step.view_as(d), by_A, by_law


def jacobian(now: Slip, A: Tensor, law: Tensor) -> Tensor:
    """Return the derivative ``[r, m + K, m + K]`` of both equations by stress and hardening."""
    (K, m), q, kx = A.shape, law[3], now.k * now.ratio
    J = torch.zeros(len(kx), m + K, m + K, dtype=A.dtype, device=A.device)
    J[:, :m, :m] = (A.T * now.k.unsqueeze(1)) @ A
    J[:, :m, m:] = -A.T * kx.unsqueeze(1)
    J[:, m:, :m] = (now.ratio.sign() * now.k).unsqueeze(2) * A
    J[:, m:, m:] = torch.diag_embed(-kx.abs())
    own = J[:, m:]  # of |Δγ| so far
    J[:, m:] = -now.b.unsqueeze(2) * ((1.0 - q).unsqueeze(1) * own + q.unsqueeze(1) * own.sum(1, keepdim=True))
    J.diagonal(dim1=1, dim2=2).add_(1.0)
    return J
