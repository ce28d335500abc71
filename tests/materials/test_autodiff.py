"""Laws written in torch: they are the built-in ones, and their derivatives are exact."""

import doctest
import functools
import subprocess
import sys

import numpy as np
import pytest
import torch

from pointlaw.errors import InputError
from pointlaw.materials import J2, NeoHooke, Perzyna, PointStatus, Substepped
from pointlaw.materials.autodiff import EnergyLaw, ImplicitLaw, UpdateLaw
from pointlaw.tensors import FINITE_STRAIN_3D
from pointlaw.testing import check_material, taylor_order

RNG = np.random.default_rng(3)
STRAIN = 2e-3 * RNG.normal(size=(30, 6))
ONE = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)


def rubber(F, mu, K):
    F = F.reshape(3, 3)
    J = torch.linalg.det(F)
    return mu / 2 * (J ** (-2 / 3) * (F * F).sum() - 3) + K / 4 * (J**2 - 1 - 2 * torch.log(J))


def trial(strain, state, E, nu):
    """Return bulk part and deviator of the elastic trial stress."""
    e = strain - state["plastic_strain"]
    dev = e - e[:3].sum() / 3 * ONE
    return E / (1 - 2 * nu) / 3 * e[:3].sum() * ONE, E / (1 + nu) * dev


def von_mises(dev, where):
    """√(3/2 s:s) where wanted, 1 elsewhere, so that no derivative is taken at s = 0."""
    return torch.sqrt(1.5 * torch.where(where, dev @ dev, torch.ones_like(dev[0])))


def j2_step(strain, state, dt, E, nu, yield_stress, H):
    G = E / (2 * (1 + nu))
    bulk, dev = trial(strain, state, E, nu)
    radius = yield_stress + H * state["p"]
    flows = 1.5 * dev @ dev > radius**2
    q = von_mises(dev, flows)
    dp = torch.where(flows, (q - radius) / (3 * G + H), 0.0)
    flow = 1.5 * dp / q * dev
    return bulk + dev - 2 * G * flow, {"plastic_strain": state["plastic_strain"] + flow, "p": state["p"] + dp}


def counted_step(strain, state, dt, k):
    """A spring that counts the time in a variable of the name that pointlaw gives the field k."""
    return k * strain, {"parameter_k": state["parameter_k"] + dt}


def test_a_variable_may_have_the_name_of_a_field_of_parameters():
    law = UpdateLaw(
        counted_step, state={"parameter_k": 1}, initial={"parameter_k": [5.0]}, parameters={"k": [2.0, 3.0]}
    )
    state = law.initial_state(2)
    answer = law.update(STRAIN[:2], state, 0.5)
    assert law.state_layout.size == state.shape[1] == 2
    np.testing.assert_array_equal(law.state_layout.split(answer.state)["parameter_k"][:, 0], [5.5, 5.5])
    np.testing.assert_array_equal(answer.stress, np.array([[2.0], [3.0]]) * STRAIN[:2])


def other_step(strain, state, dt, k):
    """The layout of :func:`counted_step`, but another variable."""
    return k * strain, {"parameter_k": state["parameter_k"] + strain[0]}


def test_two_functions_with_the_same_layout_are_two_laws():
    def law(step):
        return UpdateLaw(step, state={"parameter_k": 1}, parameters={"k": 1.0})

    assert law(counted_step).identity == "UpdateLaw(counted_step)"
    assert law(other_step).identity == "UpdateLaw(other_step)"
    assert law(lambda e, s, dt, k: (e, s)).identity.endswith("<lambda>)")
    assert law(functools.partial(counted_step, k=1.0)).identity == "UpdateLaw(partial)"
    assert Substepped(law(other_step)).identity == "Substepped(UpdateLaw(other_step))"
    implicit = ImplicitLaw(creep_residual, creep_answer, unknowns=1, state={"plastic_strain": 6})
    assert implicit.identity == "ImplicitLaw(creep_residual, creep_answer)"


def creep_residual(x, strain, state, dt, E, nu, drag, n):
    """Norton in the overstress x/drag: x + 3G Δt xⁿ/drag = q/drag."""
    G = E / (2 * (1 + nu))
    dev = trial(strain, state, E, nu)[1]
    q = torch.sqrt(1.5 * dev @ dev + 1e-300)
    return x + 3 * G * dt / drag * torch.clamp(x, min=0.0) ** n - q / drag


def creep_answer(x, strain, state, dt, E, nu, drag, n):
    G = E / (2 * (1 + nu))
    bulk, dev = trial(strain, state, E, nu)
    dp = dt * torch.clamp(x[0], min=0.0) ** n
    flow = 1.5 * dp / torch.sqrt(1.5 * dev @ dev + 1e-300) * dev
    return bulk + dev - 2 * G * flow, {"plastic_strain": state["plastic_strain"] + flow, "p": state["p"] + dp}


SIZES = {"plastic_strain": 6, "p": 1}
STEEL = {"E": 200e3, "nu": 0.3, "yield_stress": 200.0, "H": 1000.0}
LEAD = {"E": 20e3, "nu": 0.4, "drag": 30.0, "n": 4.0}
RUBBER = EnergyLaw(rubber, parameters={"mu": 1.0, "K": 10.0}, kinematics=FINITE_STRAIN_3D)
PLASTIC = UpdateLaw(j2_step, state=SIZES, parameters=STEEL, symmetric=True)
CREEP = ImplicitLaw(creep_residual, creep_answer, unknowns=1, state=SIZES, parameters=LEAD)


def two_steps(law, strain, dt=1.0):
    """Return the answer of a second step that turns back, and the state before it."""
    state = law.update(strain, law.initial_state(len(strain)), dt).state
    return law.update(-0.7 * strain[:, ::-1], state, dt), state


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (PLASTIC, J2(200e3, 0.3, 200.0, H=1000.0)),
        (CREEP, Perzyna(20e3, 0.4, drag=30.0, n=4.0)),
    ],
    ids=["update", "implicit"],
)
def test_a_law_written_in_torch_is_the_built_in_one(mine, theirs):
    one, two = two_steps(mine, STRAIN)[0], two_steps(theirs, STRAIN)[0]
    assert (one.status == PointStatus.FINE).all()
    assert one.stress == pytest.approx(two.stress, rel=1e-9, abs=1e-9)
    assert one.tangent == pytest.approx(two.tangent, rel=1e-7, abs=1e-7 * np.abs(two.tangent).max())
    assert one.state == pytest.approx(two.state, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("law", [RUBBER, PLASTIC, CREEP], ids=["energy", "update", "implicit"])
def test_laws_written_in_torch_keep_the_contract(law):
    check_material(law, points=2, steps=2, halvings=9).raise_if_failed()


@pytest.mark.parametrize("law", [PLASTIC, CREEP], ids=["update", "implicit"])
def test_the_derivatives_with_the_state_have_taylor_order_two(law):
    state = two_steps(law, STRAIN[:5])[1]
    strain = STRAIN[5:10] * 2.0
    by = law.derivatives(strain, state, 1.0)
    shift = 1e-3 * np.abs(state).max() * RNG.normal(size=state.shape)
    strain_shift = 1e-5 * RNG.normal(size=strain.shape)

    def both(h):
        got = law.update(strain + h * strain_shift, state + h * shift, 1.0, tangent=False)
        return got.stress, got.state

    remainders = []
    for h in (2e-2, 1e-2):
        ahead, back, here = both(h), both(-h), both(0.0)
        linear = [
            h * (np.einsum("pij,pj->pi", a, strain_shift) + np.einsum("pij,pj->pi", b, shift))
            for a, b in ((by[0], by[1]), (by[2], by[3]))
        ]
        for k in (0, 1):
            gap = np.abs(0.5 * (ahead[k] - back[k]) - linear[k]).max() / np.abs(linear[k]).max()
            remainders.append(gap)
        assert here[0].shape == strain.shape
    assert max(remainders) < 1e-5


def test_a_substepped_law_uses_these_derivatives_for_its_chain():
    class Hasty(UpdateLaw):
        """Fails above a tenth of a second."""

        def update(self, strain, state, dt, *, tangent=True):
            got = super().update(strain, state, dt, tangent=tangent)
            if dt > 0.3:
                got.status = np.full(len(strain), PointStatus.FAILED, dtype=np.int8)
            return got

    law = Substepped(Hasty(j2_step, state=SIZES, parameters=STEEL))
    state = law.initial_state(30)
    state = law.update(STRAIN, state, 1.0, tangent=False).state
    strain = STRAIN[::-1] * 1.5
    got = law.update(strain, state, 1.0)
    assert (got.status == PointStatus.FINE).all()
    order = taylor_order(
        lambda e: law.update(e, state, 1.0, tangent=False).stress,
        strain,
        got.tangent,
        directions=RNG.normal(size=(30, 6)),
        size=1e-5,
        halvings=6,
    )
    assert np.mean(np.asarray(order) >= 1.9) > 0.9  # a point may stand on a kink of one of its substeps


def test_parameters_may_differ_from_point_to_point():
    mu = np.linspace(1.0, 2.0, 5)
    law = EnergyLaw(rubber, parameters={"mu": mu, "K": 10.0}, kinematics=FINITE_STRAIN_3D)
    F = (np.eye(3) + 0.2 * RNG.uniform(-1.0, 1.0, (10, 3, 3))).reshape(-1, 9)
    got = law.update(F, law.initial_state(10), 1.0)  # five cells of two points
    for row in range(10):
        plain = NeoHooke(mu[row // 2], 10.0)
        assert got.stress[[row]] == pytest.approx(plain.update(F[[row]], np.zeros((1, 0)), 1.0).stress)


def test_points_whose_equations_have_no_solution_fail_alone():
    law = ImplicitLaw(
        lambda x, strain, state, dt: x**2 + strain[0],  # no root for a positive strain
        lambda x, strain, state, dt: (x[0] * strain, {"x": x[0]}),
        unknowns=1,
        state={"x": 1},
        guess=lambda strain, state, dt: torch.ones(1, dtype=torch.float64),
    )
    strain = np.zeros((3, 6))
    strain[:, 0] = [-4.0, 1.0, -9.0]
    got = law.update(strain, law.initial_state(3), 1.0)
    assert got.status.tolist() == [PointStatus.FINE, PointStatus.FAILED, PointStatus.FINE]
    assert got.state[[0, 2], 0] == pytest.approx([2.0, 3.0])
    assert got.tangent[0, 0, 0] == pytest.approx(2.0 - 4.0 * (-0.25))  # x + ε dx/dε, dx/dε = −1/(2x)


def test_initial_values_and_scalars_arrive():
    def step(strain, state, dt, k):
        assert state["a"].ndim == 0
        assert state["b"].shape == (2,)
        return k * strain + state["a"] * ONE, {"a": state["a"] + dt, "b": 2 * state["b"]}

    law = UpdateLaw(step, state={"a": 1, "b": 2}, initial={"b": [1.0, 3.0]}, parameters={"k": 5.0})
    got = law.update(STRAIN, law.initial_state(30), 0.5)
    assert got.state[0] == pytest.approx([0.5, 2.0, 6.0])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: EnergyLaw(rubber, parameters={"mu": np.nan}), "parameter mu must be a finite number"),
        (lambda: EnergyLaw(rubber, parameters={"mu": [[1.0]]}), "parameter mu"),
        (lambda: UpdateLaw(j2_step, state=SIZES, initial={"q": 1.0}), "initial value q"),
        (lambda: UpdateLaw(j2_step, state=SIZES, initial={"p": [1.0, 2.0]}), "initial value p"),
        (lambda: ImplicitLaw(creep_residual, creep_answer, unknowns=0, state=SIZES), "unknowns = 0"),
        (lambda: ImplicitLaw(creep_residual, creep_answer, unknowns=1, state=SIZES, tolerance=1.0), "tolerance = 1.0"),
        (
            lambda: UpdateLaw(lambda e, s, dt: (e, {}), state={"p": 1}).update(STRAIN, np.zeros((30, 1)), 1.0),
            r"new state has \[\]; expected \['p'\]",
        ),
        (
            lambda: EnergyLaw(rubber, parameters={"mu": [1.0, 2.0], "K": 1.0}).initial_state(3),
            "parameter mu: 2 values do not fit 3",
        ),
    ],
)
def test_a_wrong_definition_gets_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_the_example_of_the_module_runs():
    from pointlaw.materials import autodiff, fields

    assert doctest.testmod(autodiff).attempted >= 4
    assert doctest.testmod(autodiff).failed == doctest.testmod(fields).failed == 0


def test_torch_is_imported_only_when_a_torch_law_is_asked_for():
    script = "import sys, pointlaw.materials; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
