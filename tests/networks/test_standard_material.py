"""The two laws of thermodynamics hold for any weights."""

import pytest
import torch
from cells import cell, refine, walk
from torch import Tensor

from pointlaw.errors import InputError
from pointlaw.networks import Network, StandardMaterial, build, script


def history(network: Network, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return work, energy and dissipation ``[r, t]``, summed from the start, along ``x``."""
    state, old_x = network.initial_state(len(x)), torch.zeros_like(x[:, 0])
    work = dissipated = torch.zeros(len(x), dtype=x.dtype)
    old_y = torch.zeros(len(x), 3, dtype=x.dtype)
    rows: list[list[Tensor]] = [[], [], []]
    for moment in x.unbind(1):
        dissipated = dissipated + network.dissipation(moment, state)
        y, state = network.step(moment, state)
        work = work + (0.5 * (old_y + y) * (moment - old_x)[:, :3]).sum(1)
        for row, value in zip(rows, (work, network.energy(moment, state), dissipated), strict=True):
            row.append(value)
        old_x, old_y = moment, y
    return tuple(torch.stack(row, 1) for row in rows)


@pytest.mark.parametrize("seed", range(3))
def test_no_step_dissipates_less_than_nothing(seed: int) -> None:
    network = cell(StandardMaterial, {"strain_scale": 0.05}, seed)
    _, _, dissipated = history(network, 0.05 * walk(steps=100, seed=seed))
    steps = dissipated.diff(dim=1)
    assert (steps >= 0.0).all()
    assert dissipated[:, -1].min() > 0.0


def test_work_is_energy_and_dissipation_to_second_order() -> None:
    network, x = cell(StandardMaterial, {"strain_scale": 0.05}), 0.05 * walk(rows=3, steps=15, size=0.05)
    gaps = []
    for factor in (4, 8):
        work, energy, dissipated = history(network, refine(x, factor))
        gaps.append(float((work - energy - dissipated)[:, -1].norm() / work[:, -1].norm()))
    assert gaps[0] / gaps[1] == pytest.approx(4.0, rel=0.25)
    assert gaps[1] < 1e-2


def rough(seed: int, viscous: bool = False) -> Network:
    """Return a network with large random weights: steep ridges, high mobilities, far from rest."""
    torch.manual_seed(seed)
    network = StandardMaterial(features=3 + viscous, outputs=3, states=6, viscous=viscous).double()
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(3.0)
    return network.requires_grad_(False)


@pytest.mark.parametrize("seed", range(4))
def test_a_step_of_any_length_at_a_held_strain_does_not_raise_the_energy(seed: int) -> None:
    network, generator = rough(seed, viscous=True), torch.Generator().manual_seed(seed)
    for length in 10.0 ** torch.arange(-3.0, 7.0):
        strain = 3.0 * torch.randn(50, 3, generator=generator, dtype=torch.float64)
        moment = torch.cat([strain, torch.full((50, 1), float(length)).double()], 1)
        memory = 3.0 * torch.randn(50, 6, generator=generator, dtype=torch.float64)
        state = torch.cat([strain, memory], 1)
        _, new = network.step(moment, state)
        before, after = network.energy(moment, state), network.energy(moment, new)
        assert (after <= before * (1.0 + 1e-12)).all()
        torch.testing.assert_close(before - after, network.dissipation(moment, state), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [0.1, 3.0, 100.0])
def test_the_first_law_holds_for_steps_of_any_length(size: float) -> None:
    """The work of strains that move while the variables rest, and rest in the middle while the variables move."""
    network, x = rough(0), size * walk(steps=6)
    network.steps = 1
    state, old = network.initial_state(len(x)), torch.zeros_like(x[:, 0])
    work = dissipated = torch.zeros(len(x), dtype=x.dtype)
    for moment in x.unbind(1):
        dissipated = dissipated + network.dissipation(moment, state)
        y, new = network.step(moment, state)
        for share, memory in ((0.0, state[:, 3:]), (0.5, new[:, 3:])):
            for node in torch.linspace(1 / 4000, 0.5 - 1 / 4000, 1000).double():
                force = network.answer(old + (share + node) * (moment - old), memory)
                work = work + (force * (moment - old)).sum(1) / 2000
        state, old = new, moment
    torch.testing.assert_close(work, network.energy(x[:, -1], state) + dissipated, rtol=1e-4, atol=0.0)
    assert torch.isfinite(y).all()


def test_a_closed_cycle_gives_no_work_away() -> None:
    network = cell(StandardMaterial, {}, seed=4)
    x = refine(torch.cat([walk(steps=15, size=0.05), torch.zeros(6, 1, 3).double()], 1), 8)
    work, energy, _ = history(network, x)
    assert (work[:, -1] > 0.0).all()
    assert (energy >= 0.0).all()


@pytest.mark.parametrize("viscous", [False, True])
def test_stress_is_the_derivative_of_the_energy(viscous: bool) -> None:
    network = viscous_cell() if viscous else cell(StandardMaterial, {"strain_scale": 0.05})
    x = with_time(0.05 * walk()) if viscous else 0.05 * walk()
    state = network.initial_state(len(x))
    for moment in x.unbind(1):
        y, state = network.step(moment, state)
    moment = moment.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(network.energy(moment, state).sum(), moment)
    torch.testing.assert_close(slope[:, :3], y, rtol=1e-12, atol=1e-14)


def test_the_energy_is_convex_and_least_at_rest() -> None:
    network = cell(StandardMaterial, {})
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 200, 3, generator=generator, dtype=torch.float64)
    a, b = torch.randn(2, 200, network.state_size, generator=generator, dtype=torch.float64)
    middle = network.energy((x + y) / 2, (a + b) / 2)
    assert (middle <= 0.5 * (network.energy(x, a) + network.energy(y, b))).all()
    assert network.energy(torch.zeros(1, 3).double(), network.initial_state(1)).abs().max() < 1e-15
    assert (network.energy(x, a) > 0.0).all()


def test_a_viscous_material_relaxes_to_equilibrium_when_held() -> None:
    network = viscous_cell()
    state = network.initial_state(6)
    moment = with_time(0.05 * walk())[:, -1]
    energies = []
    for _ in range(60):
        _, state = network.step(moment, state)
        energies.append(network.energy(moment, state))
    falls = -torch.stack(energies).diff(dim=0)
    assert (falls >= -1e-15).all()
    assert (falls[-1] < 0.2 * falls[0]).all()


def test_energy_and_dissipation_are_there_after_scripting() -> None:
    network = cell(StandardMaterial, {})
    scripted, x, state = script(network), walk()[:, 0], network.initial_state(6)
    torch.testing.assert_close(scripted.energy(x, state), network.energy(x, state))
    torch.testing.assert_close(scripted.dissipation(x, state), network.dissipation(x, state))


def test_stresses_without_their_strains_are_refused() -> None:
    with pytest.raises(InputError, match="3 stresses belong to 3 strains"):
        build("standard_material", {"features": 5, "outputs": 3})


def viscous_cell() -> Network:
    torch.manual_seed(0)
    network = StandardMaterial(features=4, outputs=3, strain_scale=0.05, viscous=True).double()
    return network.requires_grad_(False)


def with_time(x: Tensor) -> Tensor:
    return torch.cat([x, torch.full_like(x[..., :1], 0.1)], -1)
