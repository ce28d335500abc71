"""What the cells that move by strain increments promise, for any weights, at steps of realistic size."""

import pytest
import torch
from cells import cell, refine, spread, walk

from pointlaw.networks import MinimalState, Network, NeuralODE, PlasticElements, StandardMaterial
from pointlaw.networks.incremental import polar
from pointlaw.networks.neural_ode import relax

CELLS = [
    pytest.param(MinimalState, {}, id="minimal state"),
    pytest.param(NeuralODE, {}, id="neural ode"),
    pytest.param(PlasticElements, {}, id="plastic elements"),
    pytest.param(StandardMaterial, {}, id="standard material"),
]


@pytest.mark.parametrize(("kind", "config"), CELLS)
def test_a_held_strain_moves_nothing_at_all(kind: type[Network], config: dict) -> None:
    network, x = cell(kind, config), walk()
    state = network.initial_state(len(x))
    for moment in x.unbind(1):
        y, state = network.step(moment, state)
    again, held = network.step(x[:, -1], state)
    assert torch.equal(again, y)
    assert torch.equal(held, state)


@pytest.mark.parametrize(("kind", "config"), CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives_are_finite_at_rest_and_where_strain_is_held(
    kind: type[Network], config: dict, dtype: torch.dtype
) -> None:
    network = cell(kind, config).to(dtype).requires_grad_(True)
    x = torch.cat([torch.zeros(6, 2, 3), walk().float(), walk()[:, -1:].float().expand(-1, 3, -1)], 1).to(dtype)
    x.requires_grad_(True)
    network.scan(x).square().sum().backward()
    leaves = [x, *(p for p in network.parameters() if p.grad is not None)]
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)
    assert any(leaf.grad.any() for leaf in leaves[1:])


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e-10])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tangents_of_tiny_steps_of_the_neural_ode_can_be_trained_on(size: float, dtype: torch.dtype) -> None:
    network = cell(NeuralODE, {}).to(dtype).requires_grad_(True)
    _, slope = network.scan_tangent((size * walk(steps=5)).to(dtype).requires_grad_(True))
    slope.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(("kind", "config"), CELLS)
def test_the_memory_matters(kind: type[Network], config: dict) -> None:
    network, x = cell(kind, config), walk()
    there_and_back = network.scan(torch.cat([x, x.flip(1)], 1))
    first, last = there_and_back[:, 0], there_and_back[:, -1]  # the same strain, before and after the excursion
    assert (last - first).norm() > 0.01 * there_and_back.norm(dim=2).mean(1).norm()


@pytest.mark.parametrize(
    ("config", "order"), [({"steps": 1}, 1), ({"steps": 3}, 1)], ids=["whole increment", "three sub-steps"]
)
def test_the_minimal_state_cell_converges_with_refinement_at_first_order(config: dict, order: int) -> None:
    network, x = cell(MinimalState, config), walk(rows=3, steps=10)
    coarse, fine = spread(network, refine(x, 4), 4), spread(network, refine(x, 16), 4)
    assert coarse / fine == pytest.approx(4.0**order, rel=0.25)


def test_the_neural_ode_converges_with_refinement_at_fourth_order() -> None:
    network, x = cell(NeuralODE, {}), walk(rows=3, steps=10, size=0.1)
    assert spread(network, x, 2) / spread(network, refine(x, 4), 2) > 0.7 * 4**4


@pytest.mark.parametrize("viscous", [False, True])
@pytest.mark.parametrize("size", [3.0, 100.0])
def test_the_memory_of_the_neural_ode_stays_bounded_however_long_the_steps_are(viscous: bool, size: float) -> None:
    """There and back a hundred times, with steps of many times the lengths that are sensible, and small ones after."""
    torch.manual_seed(0)
    network = NeuralODE(features=3 + viscous, outputs=3, viscous=viscous).double().requires_grad_(False)
    turns = torch.tensor([1.0, -1.0]).double().repeat(50)[None, :, None].expand(2, -1, 3)
    x = size * torch.cat([turns, turns[..., :1].abs()], 2)[..., : 3 + viscous]
    state, largest = network.initial_state(2), 0.0
    for moment in x.unbind(1):
        _, state = network.step(moment, state)
        largest = max(largest, float(state[:, 3:].abs().max()))
    assert 0.01 < largest < 5.0


def test_a_flow_of_the_neural_ode_is_exact_and_never_grows() -> None:
    """dα/ds = gain − loss α has the solution gain/loss + (α − gain/loss) exp(−loss)."""
    memory, gain = torch.tensor([[2.0, -1.0, 3.0]]).double(), torch.tensor([[3.0, 1.0, 0.5]]).double()
    loss = torch.tensor([[0.5, 40.0, 0.0]]).double()
    flow = torch.cat([gain, loss], 1)
    target = gain[:, :2] / loss[:, :2]
    expected = target + (memory[:, :2] - target) * (-loss[:, :2]).exp()
    torch.testing.assert_close(relax(memory, flow, flow)[:, :2], expected, rtol=1e-14, atol=0.0)
    assert float(relax(memory, flow, flow)[0, 2]) == 3.5
    wrong = torch.cat([0.0 * gain, -loss], 1)
    assert (relax(memory, wrong, flow).abs() <= memory.abs()).all()


def test_the_standard_material_converges_with_refinement_at_second_order() -> None:
    network, x = cell(StandardMaterial, {}), walk(rows=3, steps=10, size=0.05)
    assert spread(network, refine(x, 4), 2) / spread(network, refine(x, 16), 2) == pytest.approx(16.0, rel=0.3)


def test_direction_and_length_of_a_vector_are_defined_where_it_is_zero() -> None:
    vector = torch.tensor([[0.0, 0.0], [3.0, -4.0], [1e-12, 0.0]], dtype=torch.float64, requires_grad=True)
    direction, length = polar(vector)
    expected = torch.tensor([[0.0], [5.0], [1e-12]], dtype=torch.float64)
    torch.testing.assert_close(length, expected, rtol=1e-14, atol=0.0)
    torch.testing.assert_close(direction * length, vector, rtol=1e-14, atol=0.0)
    length.sum().backward()
    assert vector.grad is not None
    assert not vector.grad[0].any()
    torch.testing.assert_close(vector.grad[1], torch.tensor([0.6, -0.8], dtype=torch.float64))
