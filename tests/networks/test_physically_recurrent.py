"""The physically recurrent network: exact flow of its elements, and what follows from its structure."""

import numpy as np
import pytest
import torch
from cells import books, refine
from scipy.integrate import solve_ivp
from torch import Tensor

from pointlaw.networks import PhysicallyRecurrent
from pointlaw.networks.base import native
from pointlaw.networks.overlay import Scan, advance, advance_with_slopes, radius

DOUBLE = {"dtype": torch.float64}


def network(m: int = 3, seed: int = 0) -> PhysicallyRecurrent:
    made = PhysicallyRecurrent(features=m, outputs=m, elements=8, seed=seed).double()
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(m, m))
    stiffness = torch.tensor(root @ root.T + m * np.eye(m)) * 50
    made.prepare(torch.full((1, 1, m), 0.02, **DOUBLE), torch.zeros(1, 1, m, **DOUBLE), stiffness)
    return made


def walk(m: int = 3, steps: int = 15, paths: int = 4, seed: int = 1) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.tensor(0.02 * rng.normal(size=(paths, steps, m)).cumsum(axis=1))


def scalars(d: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return (d * d).sum(-1), (s * d).sum(-1), (s * s).sum(-1)


@pytest.mark.parametrize("gain", [1e-9, 0.4])
def test_an_element_follows_the_differential_equation_of_plastic_flow(gain: float) -> None:
    """A Runge–Kutta method integrates ds/dλ = e − μ n, μ = (n·e)/(1 + dR/dp), on the surface; no formula is shared."""
    law = torch.tensor([[1.0], [gain], [0.3], [0.5]], **DOUBLE)
    s0, e, length = np.array([0.3, -0.8, 0.1]), np.array([0.6, 0.64, 0.48]), 2.5

    def rate(_: float, y: np.ndarray) -> np.ndarray:
        n, slope = y[:3] / np.linalg.norm(y[:3]), gain * 0.5 / 0.3 * (1.0 + y[3] / 0.3) ** -0.5
        plastic = (n @ e) / (1 + slope)
        return np.append(e - plastic * n, plastic)

    b = s0 @ e
    contact = -b + np.sqrt(b * b + 1 - s0 @ s0)
    start = np.append(s0 + contact * e, 0.0)
    exact = solve_ivp(rate, (0, length - contact), start, rtol=1e-10, atol=1e-12).y[:, -1]
    s, p = torch.tensor(s0)[None, None], torch.zeros(1, 1, **DOUBLE)
    pieces = 160
    for _ in range(pieces):
        d = torch.tensor(e * length / pieces)[None, None]
        flow = advance(*scalars(d, s), p, law)
        s, p = flow.A[..., None] * s + flow.B[..., None] * d, flow.plastic
    assert s[0, 0].numpy() == pytest.approx(exact[:3], abs=5e-6)
    assert float(p) == pytest.approx(exact[3], abs=5e-6)


def test_halving_the_step_quarters_the_error_of_a_hardening_element() -> None:
    law = torch.tensor([[1.0], [2.0], [0.2], [0.5]], **DOUBLE)
    ends = []
    for pieces in (1, 2, 4, 8, 128):
        s, p = torch.tensor([[[1.0, 0.0, 0.0]]], **DOUBLE), torch.zeros(1, 1, **DOUBLE)
        d = torch.tensor([[[1.0, 2.0, 0.0]]], **DOUBLE) / pieces
        for _ in range(pieces):
            flow = advance(*scalars(d, s), p, law)
            s, p = flow.A[..., None] * s + flow.B[..., None] * d, flow.plastic
        ends.append(s)
    errors = [float((end - ends[-1]).norm()) for end in ends[:-1]]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert orders[-1] == pytest.approx(2.0, abs=0.2), errors


def test_the_stress_ends_on_the_surface_it_slides_on() -> None:
    rng = torch.Generator().manual_seed(0)
    law = torch.rand(4, 6, generator=rng, **DOUBLE) * 0.4 + 0.1
    s = torch.randn(50, 6, 3, generator=rng, **DOUBLE) * 0.03
    d = torch.randn(50, 6, 3, generator=rng, **DOUBLE)
    p = torch.rand(50, 6, generator=rng, **DOUBLE)
    flow = advance(*scalars(d, s), p, law)
    new = flow.A[..., None] * s + flow.B[..., None] * d
    slides = flow.plastic > p
    assert slides.float().mean() > 0.9
    assert torch.allclose(new.norm(dim=-1)[slides], radius(flow.plastic, law)[slides], rtol=1e-13)


def test_slopes_in_closed_form_are_those_of_automatic_differentiation() -> None:
    rng = torch.Generator().manual_seed(3)
    law = torch.rand(4, 9, generator=rng, **DOUBLE) * 0.4 + 0.1
    s = torch.randn(200, 9, 3, generator=rng, **DOUBLE) * 0.06
    d = torch.randn(200, 9, 3, generator=rng, **DOUBLE) * 0.3
    dd, sd, ss = scalars(d, s)
    dd.requires_grad_()
    sd.requires_grad_()
    p = torch.rand(200, 9, generator=rng, **DOUBLE)
    flow, closed = advance(dd, sd, ss, p, law), advance_with_slopes(dd.detach(), sd.detach(), ss, p, law)
    for name in ("A", "B"):
        by_dd, by_sd = torch.autograd.grad(getattr(flow, name).sum(), (dd, sd), retain_graph=True)
        assert torch.allclose(getattr(closed, f"{name}_dd"), by_dd, rtol=1e-9, atol=1e-10)
        assert torch.allclose(getattr(closed, f"{name}_sd"), by_sd, rtol=1e-9, atol=1e-10)


@pytest.mark.skipif(not native("overlay"), reason="no C compiler")
def test_compiled_scan_is_the_scan_in_torch_and_its_gradient_that_of_differences() -> None:
    rng = torch.Generator().manual_seed(5)
    increment = (0.4 * torch.randn(1, 4, 3, 3, generator=rng, **DOUBLE)).requires_grad_()
    law = (torch.rand(3, 4, generator=rng, **DOUBLE) * 0.3 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(Scan.apply, (increment, law), eps=1e-6, atol=1e-6)
    made, x = network(), walk()
    assert torch.allclose(made.scan(x), made.plain_scan(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("m", [1, 3, 6])
def test_reading_a_path_in_finer_steps_changes_next_to_nothing(m: int) -> None:
    made, x = network(m).requires_grad_(False), walk(m)
    coarse = made.scan(x)
    for times in (2, 16):
        fine = made.scan(refine(x, times))[:, times - 1 :: times]
        assert float((fine - coarse).norm() / coarse.norm()) < 5e-4


def test_a_held_strain_moves_nothing() -> None:
    made, x = network(), walk()
    state = made.initial_state(len(x))
    for moment in x.unbind(1):
        y, state = made.step(moment, state)
    again, held = made.step(x[:, -1], state)
    assert torch.equal(again, y)
    assert torch.equal(held, state)
    answer = made.scan(torch.cat([x, x[:, -1:].expand(-1, 50, -1)], 1))
    # A scan decodes all moments by one product of matrices, which may round by the place of a row in it.
    assert (answer[:, -1] - answer[:, x.shape[1] - 1]).abs().max() <= 1e-14 * answer.abs().max()


def test_a_known_stiffness_is_the_tangent_at_rest_whatever_is_learned() -> None:
    made = network()
    known = made.stiffness().detach()
    with torch.no_grad():
        made.weight += torch.randn(made.weight.shape, generator=torch.Generator().manual_seed(9), **DOUBLE)
    _, _, tangent = made.step_tangent(torch.zeros(1, 3, **DOUBLE), made.initial_state(1))
    assert not made.root.requires_grad
    assert torch.allclose(tangent[0], known, rtol=1e-12)


def test_a_prepared_network_takes_over_a_known_stiffness_and_learns_on_where_none_is_known() -> None:
    made, x = network(), torch.full((1, 1, 3), 0.02, **DOUBLE)
    other, laws = 2.0 * made.stiffness().detach(), made.log_law.detach().clone()
    made.prepare(x, x, other)
    assert torch.allclose(made.stiffness(), other, rtol=1e-12)
    assert not made.root.requires_grad
    made.prepare(x, x, None)
    assert torch.allclose(made.stiffness(), other, rtol=1e-12)
    assert made.root.requires_grad
    assert torch.equal(made.log_law, laws)  # what was learned otherwise


def test_no_cycle_of_strain_gains_energy_and_the_books_balance() -> None:
    """What is put in is stored or dissipated: the work of fine steps is energy plus dissipation."""
    made = network()
    stored, lost, work = books(made, refine(walk(steps=6, paths=3), 40))
    assert torch.allclose(stored + lost, work, rtol=5e-3)
    assert (lost > 0.1 * work).all()


def test_strain_and_stress_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="same components"):
        PhysicallyRecurrent(features=4, outputs=3)


def test_the_softest_element_of_a_fresh_network_leaves_the_straight_line_at_the_strain_it_is_told() -> None:
    C = torch.eye(1, **DOUBLE)
    strain = torch.linspace(0.0, 0.2, 401, **DOUBLE)[1:].reshape(1, -1, 1)
    kinks = []
    for first in (0.01, 0.1):
        made = PhysicallyRecurrent(features=1, outputs=1, elements=30, first_yield=first, seed=3).double()
        made.prepare(torch.ones(1, 1, 1, **DOUBLE), torch.ones(1, 1, 1, **DOUBLE), C)
        softer = 1.0 - made.scan(strain)[0, :, 0] / strain[0, :, 0]
        kinks.append(float(strain[0, (softer > 1e-9).nonzero()[0, 0], 0]))
    assert kinks[1] > 3.0 * kinks[0]
    with pytest.raises(ValueError, match="first_yield = 2"):
        PhysicallyRecurrent(features=1, outputs=1, first_yield=2.0)
