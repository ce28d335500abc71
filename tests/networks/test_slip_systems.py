"""Slip systems under one stress: closed forms, the crystal as a special case, and what follows from the structure."""

import numpy as np
import pytest
import torch
from cells import books, refine
from torch import Tensor

from pointlaw.materials import CrystalPlasticity
from pointlaw.materials.slip import SCHMID_SYM
from pointlaw.networks import SlipSystems, script
from pointlaw.networks.base import native
from pointlaw.networks.slip_flow import (
    SlipPath,
    advance,
    first_guess,
    follow_exponents,
    native_path,
    newton,
    plain_path,
    plain_solve,
    solve,
)
from pointlaw.testing import check_network

DOUBLE = {"dtype": torch.float64}
COPPER = {"C11": 168.4e3, "C12": 121.4e3, "C44": 75.4e3, "g0": 60.8, "g_sat": 109.5, "h0": 541.5, "q": 1.4}


def network(m: int = 3, systems: int = 6, exponent: float = 30.0, seed: int = 0, **options: bool) -> SlipSystems:
    made = SlipSystems(features=m, outputs=m, systems=systems, exponent=exponent, seed=seed, **options).double()
    root = torch.randn(m, m, generator=torch.Generator().manual_seed(seed), **DOUBLE)
    x = torch.full((1, 1, m), 0.02, **DOUBLE)
    made.prepare(x, torch.zeros_like(x), (root @ root.T + m * torch.eye(m)) * 50)
    return made


def walk(m: int = 3, steps: int = 15, paths: int = 4, size: float = 0.02, seed: int = 1) -> Tensor:
    return torch.tensor(size * np.random.default_rng(seed).normal(size=(paths, steps, m)).cumsum(axis=1))


def copper(exponent: float, q: float, h0: float) -> SlipSystems:
    """Return the network with the systems and parameters of copper in its own axes; stress in MPa."""
    crystal = CrystalPlasticity(**COPPER, rate=1.0, n=exponent)
    made = SlipSystems(features=6, outputs=6, systems=12, exponent=exponent, own=False).double()
    C = torch.tensor(np.linalg.inv(crystal.slip_law.compliance))
    made.prepare(torch.zeros(1, 1, 6, **DOUBLE), torch.zeros(1, 1, 6, **DOUBLE), C)
    systems = torch.tensor(SCHMID_SYM) @ made.unit_root().detach().T
    length = float(systems[0].norm())
    g0, cap = COPPER["g0"] / length, (COPPER["g_sat"] - COPPER["g0"]) / length
    h0 = h0 * (1.0 - COPPER["g0"] / COPPER["g_sat"]) / length**2
    with torch.no_grad():
        made.weight.copy_(systems)
        made.log_law.copy_(torch.tensor([[g0], [cap / g0], [h0]], **DOUBLE).log())
        made.log_latent.fill_(np.log(q))
        made.log_exponent.fill_(np.log(exponent))
    return made.requires_grad_(False)


def test_systems_with_one_law_and_a_steep_exponent_keep_the_contract() -> None:
    made = SlipSystems(features=6, outputs=6, systems=12, exponent=150.0, own=False, seed=0)
    check_network(made, rows=4, steps=3).raise_if_failed()


def test_one_system_without_hardening_solves_the_closed_form_of_single_slip() -> None:
    """Two equations of one unknown: t = trial − Δγ A, and Δγ = L (τ/g)ⁿ on a straight path, τ = A·trial − Δγ."""
    made = network(m=3, systems=1)
    with torch.no_grad():
        made.log_law[2].fill_(-60.0)  # no hardening
        made.log_law[0].fill_(np.log(0.3))
    A, U = made.directions().detach()[0].numpy(), made.unit_root().detach().numpy()
    n = float(made.law().detach()[4, 0])  # 30 to single precision
    x = walk(steps=1, paths=20, size=0.1)[:, 0]
    y, _ = made.step(x, made.initial_state(20))
    for strain, answer in zip(x.numpy(), y.detach().numpy(), strict=True):
        trial = U @ strain
        length, force = np.linalg.norm(trial), A @ trial
        low, high = 0.0, abs(force)
        for _ in range(200):  # bisection: |τ| falls from |A·trial| by Δγ
            middle = 0.5 * (low + high)
            low, high = (middle, high) if middle < length * ((abs(force) - middle) / 0.3) ** n else (low, middle)
        stress = U.T @ (trial - np.sign(force) * low * A)
        assert answer == pytest.approx(stress, rel=1e-9, abs=1e-9)
    strongest = (torch.linalg.solve(made.unit_root().T, y.T).T @ made.directions().T).abs().max()
    assert 0.25 < float(strongest.detach()) < 0.31  # some rows slip, and none gets far beyond the resistance


def apart(q: float, exponent: float, h0: float) -> float:
    """Return the largest relative difference between copper and its network over some paths.

    With the strain length for the time the two flow rules are one: each step of the material takes as long as it is.
    """
    crystal, made = CrystalPlasticity(**{**COPPER, "q": q, "h0": h0}, rate=1.0, n=exponent), copper(exponent, q, h0)
    x = walk(6, steps=12, paths=5, size=6e-4)
    answer = made.scan(x).numpy()
    root, length = made.unit_root(), float((torch.tensor(SCHMID_SYM[0]) @ made.unit_root().T).norm())
    worst, slipped = 0.0, 0.0
    for path, wanted in zip(x, answer, strict=True):
        state, old = crystal.initial_state(1), torch.zeros(6, **DOUBLE)
        for strain, stress in zip(path, wanted, strict=True):
            dt = float(((strain - old) @ root.T).norm()) / length  # γ in units of the network is γ · length
            response = crystal.update(strain[None].numpy(), state, dt)
            assert response.status is None or (response.status >= 0).all()
            state, old = response.state, strain
            worst = max(worst, float(np.linalg.norm(response.stress[0] - stress) / np.linalg.norm(stress)))
        slipped = max(slipped, float(state[0, 18]))
    assert slipped > 0.005
    return worst


@pytest.mark.parametrize("exponent", [20.0, 200.0])
def test_a_crystal_without_hardening_copied_into_the_network_answers_as_the_material(exponent: float) -> None:
    assert apart(1.4, exponent, 1e-9) < 1e-9


@pytest.mark.parametrize(("q", "allowed"), [(1.0, 1e-3), (1.4, 5e-3)])
def test_a_crystal_that_hardens_differs_by_the_form_of_the_hardening_only(q: float, allowed: float) -> None:
    """The material hardens by backward Euler, with the rate of the system that slips; the network exactly, with the
    rate of the system that hardens. For q = 1 all systems harden alike, so that only the first difference is left."""
    assert apart(q, 200.0, COPPER["h0"]) < allowed


def test_the_stress_stays_in_its_polytope() -> None:
    made = network(exponent=300.0).requires_grad_(False)
    made.log_law[2].fill_(-60.0)
    state, x = made.initial_state(50), walk(paths=50, steps=10, size=0.1)
    for moment in x.unbind(1):
        _, state = made.step(moment, state)
        ratio = (state[:, 3:6] @ made.directions().T).abs() / made.law()[0]
        assert float(ratio.max()) < 1.005
    assert (ratio.max(1).values > 0.98).double().mean() > 0.9


@pytest.mark.parametrize("options", [{}, {"own": False}, {"learn_exponent": False}])
def test_gradients_of_a_scan_are_those_of_differences(options: dict) -> None:
    made, x = network(systems=5, **options), walk(steps=6, paths=2).requires_grad_()
    pull = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(3), **DOUBLE)
    leaves = [("x", x), *((n, p) for n, p in made.named_parameters() if p.requires_grad)]
    made.root.requires_grad_()
    grads = torch.autograd.grad((made.scan(x) * pull).sum(), [leaf for _, leaf in leaves])
    for (name, leaf), grad in zip(leaves, grads, strict=True):
        along = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(7), **DOUBLE)
        h, ends = 1e-6, []
        with torch.no_grad():
            for sign in (1.0, -2.0):
                leaf += sign * h * along
                ends.append(float((made.scan(x) * pull).sum()))
            leaf += h * along
        slope = (ends[0] - ends[1]) / (2 * h)
        assert float((grad * along).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-6), name


def test_the_way_back_of_a_scan_is_automatic_differentiation_of_its_steps() -> None:
    made, x = network(systems=7), walk()
    learned = [p for p in made.parameters() if p.requires_grad]
    short = torch.autograd.grad(made.scan(x).square().sum(), learned)
    slow = torch.autograd.grad(made.plain_scan(x).square().sum(), learned)
    for a, b in zip(short, slow, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-10 * float(b.abs().max()))


def test_a_tangent_may_be_trained_on() -> None:
    """The derivative of the tangent by a weight, which needs second derivatives of the step."""
    made, x = network(systems=4), walk(steps=3, paths=2, size=0.05)
    pull = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(3), **DOUBLE)

    def value() -> Tensor:
        return (made.scan_tangent(x)[1] * pull).sum()

    (grad,) = torch.autograd.grad(value(), made.weight)
    along, h, ends = torch.ones_like(made.weight).cumsum(0), 1e-6, []
    with torch.no_grad():
        for sign in (1.0, -2.0):
            made.weight += sign * h * along
            ends.append(float(value()))
        made.weight += h * along
    assert float((grad * along).sum()) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5)


@pytest.mark.skipif(not native("slip"), reason="no C compiler")
@pytest.mark.parametrize(("m", "systems", "exponent"), [(6, 16, 30.0), (3, 5, 200.0), (1, 1, 1.0), (4, 130, 20.0)])
def test_the_compiled_step_is_the_step_in_torch(m: int, systems: int, exponent: float) -> None:
    made = network(m, systems, exponent).requires_grad_(False)
    A, S = torch.randn(2, m, m, generator=torch.Generator().manual_seed(1), **DOUBLE)
    compiled, plain = made.kernel(A, S, 64).eval(), script(made.kernel(A, S, 64).eval())
    assert compiled.compiled == (systems <= 128)
    state = made.initial_state(20)
    for moment in walk(m, 4, 20, 0.05).unbind(1):
        answers = []
        for kernel in (compiled, plain):
            shapes = (20, m), (20, made.state_size), (20, m * m)
            out = [torch.full(shape, float("nan"), **DOUBLE) for shape in shapes]
            with torch.no_grad():
                kernel(torch.nn.functional.pad(moment, (0, 1), value=1.0), state, *out)
            answers.append(out)
        for mine, other in zip(*answers, strict=True):
            assert (mine - other).abs().max() <= 1e-11 * other.abs().max()
        state = answers[0][1]


def test_the_way_through_soft_exponents_ends_where_newton_ends() -> None:
    made = network(m=6, systems=12, exponent=200.0)
    A, law = made.directions().detach(), made.law().detach()
    law[3] = 1.4
    d = torch.randn(200, 6, generator=torch.Generator().manual_seed(0), **DOUBLE)
    rest, length = torch.zeros(200, 12, **DOUBLE), d.norm(dim=1, keepdim=True)
    t, a, solved = newton(first_guess(d, rest, length, A, law), rest, d, rest, length, A, law, 1e-12)
    soft_t, soft_a, also = follow_exponents(d, rest, length, A, law)
    assert solved.all()
    assert also.all()
    assert torch.allclose(soft_t, t, rtol=1e-9, atol=1e-10)
    assert torch.allclose(soft_a, a, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("size", [3.0, 60.0])
def test_steps_of_many_yield_strains_are_solved(size: float) -> None:
    """With more latent than self hardening, where a crystal may have several solutions."""
    made = network(m=6, systems=12, exponent=200.0)
    A, law = made.directions().detach(), made.law().detach()
    law[3] = 1.4
    d = size * torch.randn(100, 2, 6, generator=torch.Generator().manual_seed(0), **DOUBLE)
    t, a = plain_path(d, A, law)
    assert torch.isfinite(t).all()
    assert (((t @ A.T) / (law[0] + a)).abs().amax() < 1.02).all()
    if native("slip"):
        mine, mine_a = native_path(d, A, law)
        assert torch.allclose(mine, t, rtol=1e-9, atol=1e-10)
        assert torch.allclose(mine_a, a, rtol=1e-9, atol=1e-10)


def test_what_is_absurd_answers_nan_in_its_own_row_only() -> None:
    made = network()
    A, law = made.directions().detach(), made.law().detach()
    d = torch.tensor([[0.1, 0.2, 0.3], [float("inf"), 0.0, 0.0], [float("nan"), 0.0, 0.0], [1e300, 0, 0]], **DOUBLE)
    for method in (solve, plain_solve):
        t, _ = method(torch.zeros(4, 3, **DOUBLE), torch.zeros(4, 6, **DOUBLE), d, A, law)
        assert torch.isfinite(t[0]).all()
        assert torch.isnan(t[1:]).all()


def test_no_resistance_leaves_its_range_however_far_it_slips() -> None:
    made = network(systems=8).requires_grad_(False)
    made.log_law[1] += torch.linspace(-2.0, 1.0, 8)
    made.log_law[2].fill_(2.0)  # saturates soon
    state = made.initial_state(20)
    for moment in walk(paths=20, steps=12, size=0.2).unbind(1):
        _, new = made.step(moment, state)
        assert (new[:, 6:] >= state[:, 6:] - 1e-12).all()
        assert (new[:, 6:] <= made.law()[1] * (1.0 + 1e-12)).all()
        state = new
    assert (state[:, 6:] > 0.99 * made.law()[1]).double().mean() > 0.9


def test_halving_the_step_halves_the_error() -> None:
    made = network(systems=8, exponent=8.0).requires_grad_(False)  # steps shorter than the strain g/n
    x = walk(steps=20, paths=5, size=0.02)
    answers = [made.scan(refine(x, times))[:, times - 1 :: times] for times in (4, 8, 16, 256)]
    errors = [float((answer - answers[-1]).norm() / answers[-1].norm()) for answer in answers[:-1]]
    assert 1.7 < errors[0] / errors[1] < 2.4, errors
    assert 1.7 < errors[1] / errors[2] < 2.4, errors


def test_a_held_strain_moves_nothing() -> None:
    made, x = network(), walk()
    held = made.scan(torch.cat([x, x[:, -1:].expand(-1, 50, -1)], 1))
    # One product of matrices makes the stresses of all moments, and may round by the place of a row in it.
    assert (held[:, -1] - held[:, x.shape[1] - 1]).abs().max() <= 1e-14 * held.abs().max()


def test_slip_dissipates_and_the_books_balance() -> None:
    """What is put in is stored or dissipated: the work of fine steps is energy plus dissipation."""
    made = network().requires_grad_(False)
    stored, lost, work = books(made, refine(walk(steps=4, paths=3, size=0.04), 50))
    assert torch.allclose(stored + lost, work, rtol=5e-3)
    assert (lost > 0.1 * work).all()


def test_a_known_stiffness_is_the_tangent_at_rest_and_is_not_learned() -> None:
    made = network()
    _, _, tangent = made.step_tangent(torch.zeros(1, 3, **DOUBLE), made.initial_state(1))
    assert not made.root.requires_grad
    assert torch.allclose(tangent[0], made.stiffness(), rtol=1e-12)


def test_the_first_systems_are_directions_in_which_the_data_flow() -> None:
    """Data of one system: whatever the flow, it is along that system."""
    one = network(systems=1).requires_grad_(False)
    x = walk(steps=30, paths=20, size=0.1)
    fresh = SlipSystems(features=3, outputs=3, systems=4, seed=5).double()
    fresh.prepare(x, one.scan(x), one.stiffness())
    cosine = (fresh.directions() @ one.directions().T).abs()
    assert float(cosine.detach().min()) > 1.0 - 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": 2}, "same components"),
        ({"systems": 0}, "systems is a whole number of at least 1"),
        ({"exponent": 0.5}, "exponent"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlipSystems(**{"features": 3, "outputs": 3, **options})


def test_a_step_in_single_precision_is_that_in_double() -> None:
    made, x = network(), walk()
    double = made.scan(x).detach()
    single = made.float().scan(x.float()).detach()
    assert float((single - double).norm() / double.norm()) < 1e-4


def test_second_order_steps_are_not_offered_by_the_short_way_back() -> None:
    """A derivative of a derivative of the scan would be wrong in silence: torch refuses it."""
    made, x = network(), walk()
    d = x.diff(dim=1).requires_grad_()
    (grad,) = torch.autograd.grad(SlipPath.apply(d, made.directions(), made.law()).square().sum(), d, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(grad.sum(), d)


def test_one_step_by_autograd_is_one_step_of_the_scan() -> None:
    made, x = network(), walk(steps=1)[:, 0]
    t, a = advance(
        torch.zeros(4, 3, **DOUBLE), torch.zeros(4, 6, **DOUBLE), made.drive(x, 0 * x), made.directions(), made.law()
    )
    assert torch.allclose(made.scan(x[:, None])[:, 0], t @ made.unit_root(), rtol=1e-12, atol=1e-13)
    assert (a >= 0).all()
