"""Laws as neurons: the same stress as the laws in NumPy, exact derivatives, and what the network inherits from them."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from cells import refine, spread, walk
from scipy.optimize import brentq
from torch import Tensor

from pointlaw.errors import InputError
from pointlaw.materials import J2, GeneralisedMaxwell, LinearElastic, Material, Perzyna, PlaneStrain
from pointlaw.networks import MaterialPoints, build, script
from pointlaw.networks.points import POINTS, J2Points, MaxwellPoints, PerzynaPoints, Points
from pointlaw.testing import check_network

MATRIX = {"E": 100.0, "nu": 0.3}
COMPOSITE = [
    {"kind": "j2", "count": 3, "yield_stress": 0.5, "S": 0.5, "n": 0.4, "learn": ["yield_stress"], **MATRIX},
    {"kind": "elastic", "count": 2, "E": 1.0, "nu": 0.19},
]
FLOW = {"drag": 1.0, "yield_stress": 0.5, "H": 2.0}
HARDENINGS = [{"H": 4.0}, {"Q": 0.6, "b": 30.0}, {"H": 1.0, "Q": 0.6, "b": 30.0}, {}]
LAWS = [
    *[("j2", {"yield_stress": 0.5, **h}, J2(yield_stress=0.5, **h, **MATRIX)) for h in HARDENINGS],
    ("elastic", {}, LinearElastic(**MATRIX)),
    ("maxwell", {"g": 0.7, "tau": 2.0}, GeneralisedMaxwell(tau=[2.0], g=[0.7], **MATRIX)),
    *[("perzyna", {"n": n, **FLOW}, Perzyna(n=n, **FLOW, **MATRIX)) for n in (1.0, 3.0, 12.0)],
]


def composite(**options) -> MaterialPoints:
    return MaterialPoints(features=3, outputs=3, **({"points": COMPOSITE, "seed": 0} | options)).double()


@pytest.fixture
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def respond(law: Material, strain: np.ndarray, dt: np.ndarray) -> np.ndarray:
    """Return the stresses of a material along ``strain[p, t, m]``."""
    state, answers = law.initial_state(len(strain)), []
    for k in range(strain.shape[1]):
        response = law.update(strain[:, k], state, dt[k], tangent=False)
        state = response.state
        answers.append(response.stress)
    return np.stack(answers, 1)


@pytest.mark.parametrize("size", [3, 6])
@pytest.mark.parametrize(("kind", "options", "law"), LAWS, ids=[f"{k} {o}" for k, o, _ in LAWS])
def test_points_answer_as_the_law_of_this_package(kind: str, options: dict, law: Material, size: int) -> None:
    rng = np.random.default_rng(0)
    strain = 0.006 * rng.normal(size=(5, 25, size)).cumsum(1)
    dt = rng.uniform(0.0, 3.0, size=25) * (rng.random(25) > 0.2)  # some steps take no time
    expected = respond(PlaneStrain(law) if size == 3 else law, strain, dt)
    points = POINTS[kind](size=size, count=1, **MATRIX, **options).double()
    x, lengths = torch.as_tensor(strain).unsqueeze(2), torch.as_tensor(dt)[None, :, None].expand(5, -1, -1)
    for scan in (points.scan, points.plain_scan):
        found = scan(x, lengths).squeeze(2).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-10 * np.abs(expected).max())


def test_one_point_behind_the_identity_is_the_law_itself_with_its_consistent_tangent() -> None:
    law = PlaneStrain(J2(yield_stress=0.5, Q=0.6, b=30.0, **MATRIX))
    point = {"kind": "j2", "count": 1, "yield_stress": 0.5, "Q": 0.6, "b": 30.0, **MATRIX}
    network = composite(points=[point], spread=0.0)
    rng = np.random.default_rng(1)
    state, memory = law.initial_state(4), network.initial_state(4)
    for strain in 0.01 * rng.normal(size=(10, 4, 3)).cumsum(0):
        response = law.update(strain, state, 1.0)
        state = response.state
        stress, memory, tangent = (a.detach() for a in network.step_tangent(torch.as_tensor(strain), memory))
        np.testing.assert_allclose(stress.numpy(), response.stress, rtol=0.0, atol=1e-11)
        np.testing.assert_allclose(tangent.numpy(), response.tangent, rtol=0.0, atol=1e-8)


def test_power_law_hardening_solves_its_equation() -> None:
    """Pure shear: q + 3G p = √3 G γ with q = σ_y(p), one scalar equation for a step from the virgin state."""
    G, Y, S, n, p0 = 100.0 / 2.6, 0.5, 0.5, 0.4, 1e-6
    points = J2Points(size=3, count=1, yield_stress=Y, S=S, n=n, p0=p0, **MATRIX).double()
    for gamma in (0.01, 0.02, 0.1, 0.5):

        def gap(p: float, gamma: float = gamma) -> float:
            return np.sqrt(3.0) * G * gamma - 3.0 * G * p - Y - S * ((p + p0) ** n - p0**n)

        p = brentq(gap, 0.0, gamma, xtol=1e-16) if gap(0.0) > 0.0 else 0.0
        strain = torch.tensor([[[[0.0, 0.0, gamma / np.sqrt(2.0)]]]], dtype=torch.float64)
        shear = points.plain_scan(strain, strain[..., 0])[0, 0, 0, 2].item() / np.sqrt(2.0)
        assert shear == pytest.approx(G * gamma - np.sqrt(3.0) * G * p, rel=1e-11)


@pytest.mark.parametrize("hardening", [{"H": 2.0}, {"Q": 0.5, "b": 20.0}, {"S": 0.5, "n": 0.4}], ids=str)
def test_the_adjoint_of_a_path_is_back_propagation_through_its_steps(hardening: dict) -> None:
    learn = ["G", "K", "yield_stress", *hardening]
    points = J2Points(size=3, count=2, yield_stress=0.5, learn=learn, own=True, **MATRIX, **hardening).double()
    rng = torch.Generator().manual_seed(0)
    x = (0.01 * torch.randn(3, 8, 2, 3, generator=rng, dtype=torch.float64)).cumsum(1).requires_grad_()
    weight = torch.randn(3, 8, 2, 3, generator=rng, dtype=torch.float64)
    inputs = [x, points.log_factor]
    fast, slow = (
        torch.autograd.grad((scan(x, x[:, :, 0, :1]) * weight).sum(), inputs)
        for scan in (points.scan, points.plain_scan)
    )
    for one, other in zip(fast, slow, strict=True):
        assert other.abs().max() > 0.0
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11 * float(other.abs().max()))


@pytest.mark.parametrize(
    "points",
    [
        J2Points(size=3, count=1, yield_stress=0.5, S=0.5, n=0.4, Q=0.2, b=9.0, learn=["S", "n", "b"], **MATRIX),
        MaxwellPoints(size=3, count=1, g=0.5, tau=0.7, learn=["g", "tau"], **MATRIX),
        PerzynaPoints(size=3, count=1, yield_stress=0.5, n=2.5, drag=1.0, learn=["n", "drag"], **MATRIX),
    ],
    ids=lambda points: type(points).__name__,
)
def test_a_step_has_exact_first_and_second_derivatives(points: Points) -> None:
    """The local equation is solved on constants; what is differentiated must not know that."""
    points = points.double()
    strain = torch.tensor([[[0.02, -0.01, 0.015]], [[0.001, 0.0, 0.001]]], dtype=torch.float64)
    state = torch.zeros(2, 1, points.memory, dtype=torch.float64)
    dt = torch.full((2, 1), 0.4, dtype=torch.float64)

    def answer(strain: Tensor, log_factor: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.functional_call(points, {"log_factor": log_factor}, (strain, state, dt))

    inputs = (strain.requires_grad_(), points.log_factor)
    assert torch.autograd.gradcheck(answer, inputs, eps=1e-7, atol=1e-4, rtol=1e-5)
    assert torch.autograd.gradgradcheck(answer, inputs, eps=1e-7, atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"tied": False}, {"steps": 3}], ids=str)
def test_a_held_strain_moves_nothing_and_rest_is_free_of_stress(options: dict, without_gradients: None) -> None:
    network = composite(**options)
    x = 0.1 * walk()
    answer = network.scan(torch.cat([x, x[:, -1:].expand(-1, 100, -1)], 1))
    assert (answer[:, -1] - answer[:, x.shape[1] - 1]).abs().max() <= 1e-13 * answer.abs().max()
    assert (network.scan(torch.zeros_like(x)) == 0.0).all()


def test_finer_steps_change_the_answer_at_first_order(without_gradients: None) -> None:
    x = 0.1 * walk(rows=3, steps=15)
    fine = composite(steps=32).scan(x)
    gaps = [float((composite(steps=k).scan(x) - fine).norm() / fine.norm()) for k in (1, 2, 4)]
    orders = np.log2([gaps[0] / gaps[1], gaps[1] / gaps[2]])
    assert (orders > 0.8).all()
    assert spread(composite(steps=8), x) < 0.25 * spread(composite(), x)


def test_sub_steps_are_steps_of_a_refined_path(without_gradients: None) -> None:
    x = 0.1 * walk()
    torch.testing.assert_close(
        composite(steps=4).scan(x), composite().scan(refine(x, 4))[:, 3::4], rtol=1e-11, atol=1e-12
    )


def test_tied_to_the_encoder_the_tangent_is_symmetric_and_a_closed_cycle_costs_work() -> None:
    network = composite()
    x = 0.1 * walk(steps=20)
    _, slopes = network.scan_tangent(x)
    assert (slopes - slopes.transpose(2, 3)).abs().max() <= 1e-11 * slopes.abs().max()
    cycle = refine(torch.cat([x, torch.zeros_like(x[:, :1])], 1), 4)
    power = (network.scan(cycle) * torch.diff(cycle, dim=1, prepend=torch.zeros_like(cycle[:, :1]))).sum((1, 2))
    elastic = composite(points=COMPOSITE[1:])
    free = 0.5 * (elastic.scan(cycle)[:, -1] * cycle[:, -1]).sum(1)
    assert (power > 0.0).all()
    assert (free == 0.0).all()


def test_a_published_decoder_is_positive_in_every_entry(without_gradients: None) -> None:
    network = composite(tied=False)
    assert (network.decoder() > 0.0).all()
    assert (composite(tied=False, spread=0.0).decoder().sum(0).diagonal() - 1.0).abs().max() < 0.05


def test_learned_parameters_keep_their_sign_and_known_ones_their_value() -> None:
    network = composite()
    points = network.groups[0]
    before = points.physical()
    network.scan(0.1 * walk(rows=2, steps=10)).square().sum().backward()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.grad is not None:
                weight -= 3.0 * weight.grad / weight.grad.norm()
    after = points.physical()
    assert {name for name in before if before[name] != after[name]} == {"yield_stress"}
    assert after["yield_stress"][0] > 0.0
    assert len(set(after["yield_stress"])) == 1  # shared


def test_the_unit_of_stress_is_found_from_the_data() -> None:
    network, x = composite(), 0.1 * walk()
    network.prepare(x, 7.0 * network.scan(x), None)
    assert network.unit.item() == pytest.approx(7.0)
    network.prepare(x, x, None)  # only once
    assert network.unit.item() == pytest.approx(7.0)


class Saturating(Points):
    """A neuron of one's own: a stress that saturates, without memory."""

    def __init__(self, *, size: int, count: int, S: float = 1.0, e: float = 0.01, **options):
        super().__init__(size=size, count=count, start={"S": S, "e": e}, **options)

    def forward(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        S, e = self.values().unsqueeze(-1).unbind(0)
        return S * torch.tanh(strain / e), state


@pytest.fixture
def saturating() -> Iterator[None]:
    POINTS["saturating"] = Saturating
    yield
    del POINTS["saturating"]


def test_a_neuron_of_ones_own_takes_a_few_lines(saturating: None) -> None:
    group = {"kind": "saturating", "count": 4, "e": 0.5, "learn": ["e"], "own": True}
    network = build("material_points", {"features": 3, "outputs": 3, "points": [group, COMPOSITE[0]]})
    check_network(network).raise_if_failed()
    x = 0.1 * walk()
    scripted = script(network.double())
    torch.testing.assert_close(scripted.scan(x), network.scan(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"points": [{"kind": "jtwo", "count": 1}]}, "kind 'jtwo' are unknown; known are elastic, j2"),
        ({"points": [{"kind": "elastic", "count": 1, "E": 1.0, "nu": 0.6}]}, "nu < 0.5"),
        ({"points": [{**COMPOSITE[0], "learn": ["H"]}]}, "'H' is to be learned and starts at zero"),
        ({"points": [{**COMPOSITE[0], "learn": ["hardness"]}]}, "'hardness' is unknown; known are G, K, yield_stress"),
        ({"points": [{"kind": "maxwell", "count": 1, "g": 0.5, "tau": 1.0, **MATRIX}]}, "need the feature dt"),
        ({"points": []}, "at least one"),
        ({"features": 9, "outputs": 9}, "3, 4 or 6 components"),
        ({"features": 5}, "features are the strain"),
    ],
)
def test_a_configuration_that_cannot_be_gets_a_sentence(change: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build("material_points", {"features": 3, "outputs": 3, "points": COMPOSITE, **change})
