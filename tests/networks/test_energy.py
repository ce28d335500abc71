"""Energies know their configuration and refuse what they cannot be; every property of physics is in verification."""

import numpy as np
import pytest
import torch

from pointlaw.errors import InputError
from pointlaw.networks import EnergyCubic, EnergyIsotropic, EnergySymmetrised, build
from pointlaw.networks.convex import ConvexCore, convex_derivatives, convex_value
from pointlaw.networks.structure import cubic_rotations, orbit


@pytest.mark.parametrize(
    ("architecture", "config", "sentence"),
    [
        ("energy_isotropic", {"features": 4, "outputs": 4}, "features = outputs = 9"),
        ("energy_isotropic", {"hidden": [4, 4, 4]}, "one or two layers"),
        ("energy_cubic", {"orbits": ["123"]}, "the orbit '123' is unknown"),
        ("energy_transverse", {"axis": [0.0, 0.0, 0.0]}, "axis of the fibres"),
        ("energy_symmetrised", {"norms": 0}, "norms = 0"),
        ("energy_symmetrised", {"members": 0}, "members = 0"),
        ("convex_energy", {"features": 3, "outputs": 4}, "as many components"),
        ("convex_energy", {"features": 3, "outputs": 3, "strain_scale": 0.0}, "strain_scale = 0.0"),
    ],
)
def test_a_configuration_that_does_not_fit_gets_a_sentence(architecture: str, config: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build(architecture, config)


@pytest.mark.parametrize("hidden", [[7], [7, 5]])
def test_the_derivatives_of_the_core_are_those_of_its_value(hidden: list[int]) -> None:
    torch.manual_seed(0)
    core = ConvexCore([True, False, True], hidden).double()
    z = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    weights = core.weights()
    gradient, curvature = convex_derivatives(z, weights, True)
    (slope,) = torch.autograd.grad(convex_value(z, weights).sum(), z)
    assert torch.allclose(gradient, slope, rtol=1e-12, atol=1e-14)
    for k in range(3):
        (row,) = torch.autograd.grad(gradient[:, k].sum(), z, retain_graph=True)
        assert torch.allclose(curvature[:, k], row, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("hidden", [[7], [7, 5]])
def test_the_core_is_convex_and_rises_where_it_must(hidden: list[int]) -> None:
    torch.manual_seed(1)
    core = ConvexCore([True, False, True], hidden).double()
    gradient, curvature = convex_derivatives(3 * torch.randn(500, 3, dtype=torch.float64), core.weights(), True)
    assert (gradient[:, [0, 2]] >= 0).all()
    assert (gradient[:, 1] < 0).any()
    assert torch.linalg.eigvalsh(curvature).min() >= -1e-12 * curvature.abs().max()


def test_the_cube_has_24_rotations_and_orbits_of_3_6_and_4_lines() -> None:
    rotations = cubic_rotations()
    assert len(np.unique(rotations.reshape(24, 9), axis=0)) == 24
    assert np.allclose(rotations @ rotations.swapaxes(1, 2), np.eye(3))
    assert [len(orbit(name)) for name in ("100", "110", "111")] == [3, 6, 4]
    assert np.allclose(np.linalg.norm(orbit("110"), axis=1), 1.0)


def test_a_body_turned_inside_out_has_no_stress() -> None:
    network = EnergyIsotropic().double()
    x = torch.diag(torch.tensor([-2.0, 0.0, 0.0], dtype=torch.float64)).reshape(1, 9)
    assert torch.isnan(network.scan(x[None])).all()


def test_geometry_is_not_rounded_by_single_precision_weights() -> None:
    torch.manual_seed(0)
    single = EnergyCubic()
    double = EnergyCubic().double()
    double.load_state_dict(single.state_dict())
    kernel = single.kernel(torch.eye(9), torch.eye(9), 4)
    x = 0.1 * torch.randn(3, 9, dtype=torch.float64)
    stress = torch.empty(3, 9, dtype=torch.float64)
    with torch.no_grad():
        kernel(torch.nn.functional.pad(x, (0, 1), value=1.0), x[:, :0], stress, x[:, :0].clone(), None)
        assert torch.allclose(stress, double.scan(x[None])[0], rtol=1e-13, atol=1e-14)


def deformations(count: int) -> torch.Tensor:
    """Return ``F[p, 9]`` with ``J > 0.2``: any, and stretches along the axes, equal ones among them."""
    F = torch.eye(3).double().reshape(1, 9) + 0.25 * torch.randn(count, 9, dtype=torch.float64)
    stretches = torch.tensor([[1.3, 0.8, 0.8], [0.7, 0.7, 0.7], [1.2, 1.0, 0.9], [1.0, 1.0, 1.0]], dtype=torch.float64)
    F = torch.cat([F, torch.diag_embed(stretches).reshape(-1, 9)])
    return F[torch.linalg.det(F.view(-1, 3, 3)) > 0.2]


def test_the_inputs_of_a_symmetrised_energy_are_norms_of_the_deformation_and_its_cofactor() -> None:
    torch.manual_seed(0)
    network = EnergySymmetrised(norms=5).double()
    branch, F, Q = network.branches[0], deformations(20), torch.tensor(cubic_rotations())
    y = network.measures(F - torch.eye(3).reshape(9))[0]
    squared = (y @ branch.arguments().T).view(len(F), 24, 6)
    F = F.view(-1, 1, 1, 3, 3)
    turned = F @ Q.view(24, 1, 3, 3).transpose(2, 3)
    cofactor = torch.linalg.det(turned)[..., None, None] * torch.linalg.inv(turned).transpose(3, 4)
    norm = torch.linalg.matrix_norm(turned @ branch.A + cofactor @ branch.B)
    assert (squared[..., :5] - norm.square()).abs().max() < 1e-13 * squared.max()
    assert (squared[..., 5] - torch.linalg.det(F[:, :, 0])).abs().max() < 1e-13


def test_a_free_energy_begins_as_the_polyconvex_one_and_is_read_back_as_it_is() -> None:
    networks = []
    for convex in (True, False):
        torch.manual_seed(0)
        networks.append(EnergySymmetrised(hidden=[6, 4], norms=3, polyconvex=convex).double())
    x = deformations(20) - torch.eye(3).reshape(9)
    polyconvex, free = (network.scan(x[None])[0] for network in networks)
    assert (free - polyconvex).abs().max() < 1e-5 * polyconvex.abs().max()  # released in single precision
    again = build("energy_symmetrised", networks[1].config).double()
    again.load_state_dict(networks[1].state_dict())
    assert torch.equal(again.scan(x[None])[0], free)


def test_norms_that_vanish_at_rest_keep_stress_and_tangent_exact() -> None:
    torch.manual_seed(0)
    network = EnergySymmetrised(hidden=[6, 4], norms=3).double()
    branch = network.branches[0]
    with torch.no_grad():
        branch.B.copy_(-branch.A)
    assert branch.rest().max() < 0.011
    x = deformations(40) - torch.eye(3).reshape(9)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network.energy(leaf).sum(), leaf)
    y, _, tangent = (value.detach() for value in network.step_tangent(x, x[:, :0]))
    assert (slope - y).abs().max() < 1e-11 * y.abs().max()
    step, column = 1e-6, torch.eye(9, dtype=torch.float64)
    with torch.no_grad():
        columns = [(network.scan((x + step * e)[None]) - network.scan((x - step * e)[None]))[0] for e in column]
    assert (torch.stack(columns, 2) / (2 * step) - tangent).abs().max() < 1e-6 * tangent.abs().max()


@pytest.mark.parametrize("make", [EnergyCubic, lambda: EnergySymmetrised(hidden=[6, 4], norms=3, members=2)])
def test_answers_at_fixed_points_are_those_of_the_network_also_after_a_step_of_the_weights(make) -> None:
    torch.manual_seed(0)
    network = make().double()
    x = deformations(20) - torch.eye(3).reshape(9)
    answer = network.at(x)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn_like(weight)
    T, weights = torch.randn(len(x), 9, dtype=torch.float64), list(network.parameters())
    y, expected = answer(), network.scan(x[None])[0]
    assert (y - expected).abs().max() < 1e-11 * expected.abs().max()
    slopes = (torch.autograd.grad((found * T).sum(), weights, allow_unused=True) for found in (y, expected))
    for got, wanted in zip(*slopes, strict=True):
        if wanted is not None:
            assert (got - wanted).abs().max() <= 1e-10 * wanted.abs().max()
