"""Laws of the package as neurons: what they answer, and derivatives against differences of the whole network."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from pointlaw.errors import InputError
from pointlaw.laws import LAWS, neurons
from pointlaw.materials import (  # fmt: skip
    COPPER,
    J2,
    CrystalPlasticity,
    Material,
    Perzyna,
    PlaneStrain,
    Response,
    Rotated,
    Scaled,
    StateLayout,
    random_rotations,
)
from pointlaw.networks import MaterialPoints, build, script
from pointlaw.networks.law_points import LawPoints
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.testing import check_network

MATRIX = {"E": 100.0, "nu": 0.3}
VOCE = {"yield_stress": 0.5, "Q": 0.6, "b": 30.0, "H": 1.0}
STEEL = PlaneStrain(J2(**MATRIX, **VOCE))
ELASTIC = {"kind": "elastic", "count": 2, "E": 1.0, "nu": 0.19}
CRYSTAL = CrystalPlasticity(**COPPER | {"n": 8.0})
CRYSTALS = PlaneStrain(Rotated(CRYSTAL, random_rotations(3, seed=0)))
CREEP = PlaneStrain(Perzyna(E=200e3, nu=0.3, drag=300.0, n=8.0))


def network(*points: dict, **options) -> MaterialPoints:
    timed = any("time" in group for group in points)
    return MaterialPoints(features=3 + timed, outputs=3, points=points, **({"seed": 0} | options)).double()


def paths(*, size: float = 0.003, timed: bool = False, rows: int = 4, steps: int = 12) -> Tensor:
    """Return walks ``[r, t, f]`` whose last strains are held and then led back; some steps take no time."""
    rng = torch.Generator().manual_seed(0)
    x = (size * torch.randn(rows, steps, 3, generator=rng, dtype=torch.float64)).cumsum(1)
    x = torch.cat([x, x[:, -1:], x[:, -1:], 0.5 * x[:, -1:]], 1)
    if not timed:
        return x
    return torch.cat([x, torch.randint(0, 3, (rows, steps + 3, 1), generator=rng).double()], 2)


def weighted(answer: Tensor) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return (answer * torch.randn(answer.shape, generator=rng, dtype=torch.float64)).sum()


def gap_of_gradients(net: MaterialPoints, loss, *, entries: int = 8, step: float = 1e-6) -> float:
    """Return how far the gradient by encoders and weights is from central differences of ``loss()``."""
    net.zero_grad()
    loss().backward()
    rng = np.random.default_rng(0)
    found, expected = [], []
    with torch.no_grad():
        for weight in (net.encoder, net.weight):
            flat = weight.view(-1)
            for i in rng.permutation(len(flat))[:entries]:
                before, sides = flat[i].item(), []
                for sign in (1.0, -1.0):
                    flat[i] = before + sign * step
                    sides.append(float(loss()))
                flat[i] = before
                found.append(float(weight.grad.view(-1)[i]))
                expected.append((sides[0] - sides[1]) / (2.0 * step))
    return float(np.linalg.norm(np.subtract(found, expected)) / np.linalg.norm(expected))


def test_a_law_in_numpy_answers_and_learns_as_the_same_law_in_torch() -> None:
    """Some strains are held, where a point lies on its yield surface and each derivative alone is one of two."""
    x = paths(rows=6, steps=25)
    pair = [
        network(group, ELASTIC) for group in (neurons(STEEL, count=4), {"kind": "j2", "count": 4, **MATRIX, **VOCE})
    ]
    for net in pair:
        weighted(net.scan(x)).backward()
    one, other = (net.scan(x).detach() for net in pair)
    assert (one - other).abs().max() <= 1e-12 * other.abs().max()
    for name in ("encoder", "weight"):
        found, expected = (getattr(net, name).grad for net in pair)
        assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize(
    "points",
    [
        [neurons(STEEL, count=3), ELASTIC],
        [neurons(CREEP, count=2, time=2.0), {"kind": "j2", "count": 1, **MATRIX, **VOCE}],
    ],
    ids=["plastic", "creep and plastic"],
)
def test_networks_of_laws_keep_the_contract(points: list[dict]) -> None:
    """Scans, rows, scripting, saving, and the tangent against differences of the whole network, dt included."""
    check_network(network(*points), amplitude=0.01, rows=3, steps=3).raise_if_failed()


@pytest.mark.parametrize(
    ("law", "size", "time"),
    [
        (CRYSTALS, 0.002, 1.0),
        (CREEP, 0.001, 0.5),
        (PlaneStrain(J2(E=200e3, nu=0.3, yield_stress=200.0, Q=50.0, b=10.0, C=60e3, gamma=600.0)), 0.001, None),
        (Scaled(STEEL, [0.5, 1.0, 2.0]), 0.003, None),
    ],
    ids=["crystals", "norton", "chaboche", "factors"],
)
def test_the_gradient_by_the_weights_is_that_of_differences(law: Material, size: float, time: float | None) -> None:
    net = network(neurons(law, count=3, time=time))
    x = paths(size=size, timed=time is not None, rows=3, steps=8)[:, :-3]  # without held strains the loss has no kinks
    assert gap_of_gradients(net, lambda: weighted(net.scan(x)), entries=5) < 1e-6


def test_sub_steps_have_derivatives_too() -> None:
    net = network(neurons(STEEL, count=3), steps=3)
    x = paths(steps=8)[:, :-3]
    assert gap_of_gradients(net, lambda: weighted(net.scan(x)), entries=4) < 1e-6


def test_tangents_can_be_trained_on() -> None:
    net = network(neurons(CREEP, count=2, time=1.0), ELASTIC)
    x = paths(size=0.001, timed=True, rows=3, steps=6)[:, :-3]
    assert gap_of_gradients(net, lambda: weighted(net.scan_tangent(x)[1][..., :3] / 1e5), entries=3) < 1e-5


def test_second_derivatives_that_are_not_known_are_refused() -> None:
    net = network(neurons(STEEL, count=3), steps=2)
    slopes = net.scan_tangent(paths(steps=6))[1]
    with pytest.raises(RuntimeError, match="train on tangents with steps=1"):
        slopes.square().sum().backward()


def test_the_kernel_of_a_timed_network_has_the_closed_form_tangent() -> None:
    net = network(neurons(CREEP, count=2, time=1.0), {"kind": "j2", "count": 2, **MATRIX, **VOCE})
    net.prepare(paths(timed=True), torch.ones(4, 15, 3, dtype=torch.float64), None)
    x = paths(size=0.001, timed=True)
    state = net.initial_state(len(x))
    A = torch.zeros(4, 3, dtype=torch.float64)
    A[:3] = torch.tensor([[2.0, 0.1, 0.0], [0.0, 1.0, 0.3], [0.2, 0.0, 1.5]])
    S = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))
    kernel = net.kernel(A, S, 8)
    for moment in x.unbind(1):
        y, new, slope = (part.detach() for part in net.step_tangent(moment, state))
        stress, memory, tangent = torch.empty(4, 3).double(), torch.empty_like(state), torch.empty(4, 9).double()
        kernel(torch.nn.functional.pad(moment, (0, 1), value=1.0), state, stress, memory, tangent)
        torch.testing.assert_close(stress, y @ S, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(memory, new, rtol=0.0, atol=0.0)
        expected = S @ slope @ A
        torch.testing.assert_close(tangent.view(4, 3, 3), expected, rtol=0.0, atol=1e-11 * float(expected.abs().max()))
        state = new


def test_neurons_may_differ_in_their_parameters() -> None:
    """Behind the identity every neuron is its own crystal; together they answer with the mean, as Taylor's model."""
    net = network(neurons(CRYSTALS, count=3, time=1.0), spread=0.0)
    torch.nn.init.constant_(net.weight, -math.log(3.0))  # in double precision
    x = paths(size=0.002, timed=True, steps=5)
    single = [
        network(neurons(PlaneStrain(Rotated(CRYSTAL, R)), count=1, time=1.0), spread=0.0).scan(x)
        for R in random_rotations(3, seed=0)
    ]
    assert (single[0] - single[1]).abs().max() > 1.0
    torch.testing.assert_close(net.scan(x), sum(single) / 3.0, rtol=1e-11, atol=1e-9)


class Counting(Material):
    """``σ = E (1 + √L) ε`` with the sum L of squared increments; the state also counts steps, in whole numbers."""

    kinematics, state_layout = PLANE_STRAIN, StateLayout(steps=1, strain=3, length=1)

    def __init__(self, E: float):
        self.E = E

    def update(self, strain: np.ndarray, state: np.ndarray, dt: float, *, tangent: bool = True) -> Response:
        count, old, length = state[:, :1], state[:, 1:4], state[:, 4:]
        count = np.where(count == np.floor(count), count, np.nan)  # half a step is nonsense
        way = strain - old
        new = length + (way * way).sum(1, keepdims=True)
        with np.errstate(invalid="ignore"):
            factor = self.E * (1.0 + np.sqrt(length))  # negative lengths are nonsense
        stress = np.where(np.abs(strain).max(1, keepdims=True) < 0.1, factor * strain, np.nan) + 0.0 * count
        moduli = factor[:, :, None] * np.eye(3) if tangent else None
        return Response(stress, moduli, np.concatenate([count + 1.0, strain, new], 1))


@pytest.fixture
def counting() -> Iterator[dict]:
    LAWS["Counting"] = Counting
    yield neurons(Counting(5.0), count=3)
    del LAWS["Counting"]


def test_counts_and_lengths_that_are_never_negative_do_no_harm(counting: dict) -> None:
    net = network(counting)
    assert gap_of_gradients(net, lambda: weighted(net.scan(paths()[:, 1:-3]))) < 1e-5
    rest = torch.zeros(2, 3, 3, dtype=torch.float64)
    net.zero_grad()
    net.scan(rest).sum().backward()
    assert torch.isfinite(net.encoder.grad).all()


def test_a_point_that_fails_answers_nan_and_harms_no_other(counting: dict) -> None:
    net = network(counting, ELASTIC)
    x = paths()
    lone = net.scan(x[1:])
    x[0, 5:] = 1.0
    answer = net.scan(x).detach()
    assert torch.isfinite(answer[0, :5]).all()
    assert answer[0, 5:].isnan().all()
    # Products of matrices may round by the number of their rows.
    torch.testing.assert_close(answer[1:], lone.detach(), rtol=0.0, atol=1e-13 * float(lone.detach().abs().max()))


def test_a_scripted_network_outlives_the_one_it_was_made_of() -> None:
    x = paths()
    net = network(neurons(STEEL, count=2))
    expected, scripted = net.scan(x), script(net)
    del net
    torch.testing.assert_close(scripted.scan(x), expected, rtol=0.0, atol=0.0)


def test_a_scripted_kernel_never_meets_another_one_in_the_place_of_its_own() -> None:
    net, A = network(neurons(STEEL, count=1)), torch.eye(4, 3).double()
    names = []
    for _ in range(10):  # each is gone before the next is made, which takes its place in memory
        names.append(script(net.kernel(A, A[:3], 2)).name)
    assert len(set(names)) == len(names)


def test_single_precision_networks_take_the_law_in_double() -> None:
    net = network(neurons(STEEL, count=3))
    x = paths()
    expected = net.scan(x).detach()
    found = net.float().scan(x.float()).detach()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0.0, atol=1e-5 * float(expected.abs().max()))


STEEL_ENTRY = {"law": "J2", "parameters": {**MATRIX, **VOCE}, "wrappers": ["PlaneStrain"]}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({}, "no law is named"),
        ({"law": STEEL}, "given by its name, not as PlaneStrain"),
        ({"law": "Steel"}, r"no law 'Steel'; known are .*J2.*LAWS\['Steel'\] = Steel"),
        ({"law": "J2", "parameters": {"E": 1.0}}, "J2 does not take these parameters: missing"),
        ({"law": "J2", "parameters": {**MATRIX, **VOCE, "nu": 0.7}}, "nu"),
        ({"law": "J2", "parameters": {**MATRIX, **VOCE}}, "6 components, the network has 3|has 3 components; wrap"),
        ({"law": "NeoHooke", "parameters": {"mu": 1.0, "K": 10.0}}, "take the small strain"),
        ({**STEEL_ENTRY, "wrappers": [{"PlaneStrain": {}}]}, "a wrapper is a name"),
        ({**STEEL_ENTRY, "learn": ["H"]}, "are known: learn is for the other kinds"),
        ({**STEEL_ENTRY, "amplitude": 0.0}, "positive numbers"),
        (
            {**STEEL_ENTRY, "wrappers": [{"law": "Scaled", "parameters": {"factor": [1.0, 2.0]}}, "PlaneStrain"]},
            "2 val",
        ),
        ({**STEEL_ENTRY, "hardening": 1.0}, "unexpected keyword argument 'hardening'"),
        ({"law": "Perzyna", "parameters": {**MATRIX, "drag": 1.0, "n": 3.0}, "wrappers": ["PlaneStrain"]}, "'time'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_neuron_that_cannot_be_gets_a_sentence(entry: dict, sentence: str) -> None:
    points = [{"kind": "material", "count": 3, **entry}]
    with pytest.raises(InputError, match=sentence):
        build("material_points", {"features": 3, "outputs": 3, "points": points})


def test_a_law_that_knows_time_needs_the_feature_dt() -> None:
    with pytest.raises(InputError, match="need the feature dt"):
        build("material_points", {"features": 3, "outputs": 3, "points": [neurons(CREEP, count=1, time=1.0)]})


def test_points_of_laws_cannot_be_made_without_a_way_to_make_the_law() -> None:
    with pytest.raises(TypeError, match="abstract"):
        LawPoints(size=3, count=1)
