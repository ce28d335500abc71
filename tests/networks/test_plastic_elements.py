"""The exact flow of elastic–plastic elements: against closed forms, an independent integration, and itself."""

import math

import numpy as np
import pytest
import torch
from cells import cell, spread, walk
from scipy.integrate import solve_ivp
from torch import Tensor

from pointlaw.networks import PlasticElements
from pointlaw.networks.sliding import slide


def push(stress: Tensor, grown: Tensor, increment: Tensor, growth: float, rate: float) -> tuple[Tensor, Tensor]:
    length = increment.norm(dim=-1)
    one = torch.ones(stress.shape[1], dtype=stress.dtype)
    direction = increment / length.unsqueeze(-1)
    return slide(stress, grown, increment, direction, length, growth * one, rate * one)[:2]


def random_elements(rows: int = 400, d: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Return stresses inside and on balls of radius 1 to 1.4, growths, and increments up to several radii long."""
    generator = torch.Generator().manual_seed(3)
    direction = torch.nn.functional.normalize(torch.randn(rows, 1, d, generator=generator, dtype=torch.float64), dim=2)
    grown = 0.4 * torch.rand(rows, 1, generator=generator, dtype=torch.float64)
    depth = torch.rand(rows, 1, generator=generator, dtype=torch.float64)
    depth[: rows // 2] = 1.0
    stress = direction * ((1.0 + grown) * depth).unsqueeze(2)
    return stress, grown, torch.randn(rows, 1, d, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    "config", [{}, {"hardening": False}, {"size": 1}, {"size": 2}, {"sensitivity": [5.0, 50.0]}], ids=str
)
def test_cut_increments_give_the_same_answer_to_round_off(config: dict) -> None:
    network = cell(PlasticElements, config)
    assert spread(network, walk(), 16) < 1e-13
    assert spread(network, walk(size=2.0), 3) < 1e-13


def test_the_flow_is_that_of_a_fine_integration_of_the_rate_equations() -> None:
    growth, rate = 0.5, 0.7
    stress, grown, increment = random_elements(12)
    new, more = push(stress, grown, increment, growth, rate)

    for k in range(len(stress)):
        # σ′ = e − n ⟨n·e⟩ on the surface; the stress of a growing ball keeps its direction and grows with it.
        e, L = increment[k, 0].numpy() / increment[k, 0].norm().item(), increment[k, 0].norm().item()
        s, radius = stress[k, 0].numpy(), 1.0 + grown[k, 0].item()
        along, gap = s @ e, radius**2 - s @ s
        contact = min(L, max(0.0, -along + math.sqrt(along**2 + max(gap, 0.0))))
        start = np.concatenate([s + contact * e, [radius]])

        def rates(_: float, y: np.ndarray, e: np.ndarray = e) -> np.ndarray:
            wider = rate * (1.0 + growth - y[3])
            n = y[:3] / np.linalg.norm(y[:3])
            return np.concatenate([e - n * (n @ e) + n * wider, [wider]])

        end = start
        if contact < L:
            end = solve_ivp(rates, (0.0, L - contact), start, rtol=1e-11, atol=1e-12).y[:, -1]
        np.testing.assert_allclose(new[k, 0].numpy(), end[:3], atol=1e-8)
        assert 1.0 + more[k, 0].item() == pytest.approx(end[3], abs=1e-8)


def test_a_perfectly_plastic_element_turns_as_krieg_and_krieg_found() -> None:
    """tan(θ/2) decays exponentially with the strain over the radius (doi 10.1115/1.3454568)."""
    angle, strain = 1.2, 0.8
    stress = torch.tensor([[[math.cos(angle), math.sin(angle)]]], dtype=torch.float64)
    e = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    length = torch.tensor([[strain]], dtype=torch.float64)
    new, _, _ = slide(stress, torch.zeros_like(length), strain * e, e, length, None, None)
    found = math.atan2(new[0, 0, 1].item(), new[0, 0, 0].item())
    assert found == pytest.approx(2.0 * math.atan(math.tan(angle / 2.0) * math.exp(-strain)), abs=1e-15)


def test_the_stress_never_leaves_its_ball() -> None:
    stress, grown, increment = random_elements()
    for factor in (1e-9, 1e-3, 1.0, 1e3, 1e6):
        new, more = push(stress, grown, factor * increment, 0.5, 0.7)
        assert (new.norm(dim=2) <= (1.0 + more) * (1.0 + 1e-12)).all()
        assert (more >= grown).all()
        assert (more <= 0.5 + 1e-12).all()


def test_a_straight_pull_ends_in_its_own_direction_on_the_largest_ball() -> None:
    stress, grown, increment = random_elements()
    new, _ = push(stress, grown, 1e4 * increment, 0.5, 0.7)
    torch.testing.assert_close(new, 1.5 * torch.nn.functional.normalize(increment, dim=2), rtol=0.0, atol=1e-10)


def test_inside_all_balls_the_law_is_linear_elastic() -> None:
    network = cell(PlasticElements, {"elements": 6})
    x = 0.05 * walk(size=0.01)
    rest = network.step_tangent(torch.zeros(1, 3).double(), network.initial_state(1))[2]
    stiffness = network.head.prior + network.head.weight @ network.weight.flatten(0, 1)
    torch.testing.assert_close(rest[0], stiffness, rtol=1e-13, atol=0.0)
    torch.testing.assert_close(network.scan(x), x @ stiffness.T, rtol=1e-12, atol=1e-15)


def test_an_element_on_its_surface_that_does_not_move_is_elastic() -> None:
    network = cell(PlasticElements, {"elements": 6})
    state = network.initial_state(1)
    pushed = torch.tensor([[2.0, 1.0, -1.0]], dtype=torch.float64)
    _, state = network.step(pushed, state)
    tangent = network.step_tangent(pushed, state)[2]
    stiffness = network.head.prior + network.head.weight @ network.weight.flatten(0, 1)
    torch.testing.assert_close(tangent[0], stiffness, rtol=1e-12, atol=0.0)
