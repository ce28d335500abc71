"""Every figure of the audit against a material whose defect is known exactly."""

import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, Scaling, Units, feature_map, sample
from pointlaw.errors import InputError
from pointlaw.laws import Figures, Verdict, audit, judge, make_law, measure, measure_alone
from pointlaw.laws.audit import GOALS, envelope_paths, refine, relative_errors, stands
from pointlaw.laws.audit.physics import cycle_work, ellipses, ellipticity, rotation_error
from pointlaw.laws.audit.reading import stress_refinement
from pointlaw.laws.card import Envelope
from pointlaw.materials import J2, FiniteJ2, LinearElastic, Material, NeoHooke, PlaneStrain, Response, StateLayout
from pointlaw.networks import LSTM
from pointlaw.paths import StrainPath, gaussian_process
from pointlaw.tensors import FINITE_STRAIN_3D as F3
from pointlaw.tensors import PLANE_STRAIN, SMALL_STRAIN_3D
from pointlaw.training.objective import Samples, path_errors

SPRING = LinearElastic(E=1000.0, nu=0.25)


@pytest.fixture(scope="module")
def kept_back() -> Dataset:
    return sample(SPRING, gaussian_process(6, seed=0, steps=5, bound=0.01))


class Flawed(Material):
    """The spring with one defect."""

    kinematics = SMALL_STRAIN_3D
    state_layout = StateLayout(steps=1)

    def __init__(self, *, stiffer=0.0, creep=0.0, preload=0.0, tangent=0.0, soft=0.0, skew=None, fails=False):
        self.stiffer, self.creep, self.preload, self.tangent_error = stiffer, creep, preload, tangent
        self.soft, self.skew, self.fails = soft, np.zeros((6, 6)) if skew is None else skew, fails

    def update(self, strain, state, dt, *, tangent=True):
        steps = state + 1.0
        stress = (1 + self.stiffer) * strain @ SPRING.stiffness * (1 + self.creep * steps) + self.preload
        stress += strain @ self.skew.T
        matrix = (1 + self.stiffer + self.tangent_error) * (SPRING.stiffness - self.soft * np.eye(6)) + self.skew
        if self.fails:
            stress[0] = np.nan
        return Response(stress, (1 + self.creep * steps)[..., None] * matrix if tangent else None, steps)


def test_the_teacher_itself_is_perfect(kept_back) -> None:
    figures = audit(SPRING, kept_back)
    assert figures.error_mean == figures.error_95 == figures.tangent_error == 0.0
    assert figures.drift == figures.stress_at_rest == figures.stiffness_error == figures.failed == 0.0
    assert max(figures.refinement.values()) < 1e-14
    assert figures.tangent_check < 1e-9
    assert figures.softest == pytest.approx((1 - 2 * 0.25) / (1 + 0.25), rel=1e-12)  # 2G over 3K
    assert figures.paths == 6
    assert max(figures.refinement_stress.values()) < 1e-7  # of Newton's iteration
    assert figures.undriven == 0
    assert figures.soft_share == 0.0
    assert figures.tangent_median == figures.tangent_95 == 0.0
    assert abs(figures.cycle_work) < 1e-14
    assert figures.rotation is None
    assert figures.dissipation is None


def test_plasticity_audited_as_its_own_law_is_exact_holds_still_and_only_dissipates() -> None:
    law = J2(E=210e3, nu=0.3, yield_stress=250.0, H=10e3)
    data = sample(law, gaussian_process(8, seed=1, steps=40, bound=0.006))
    figures = audit(law, data)
    assert figures.error_mean == figures.error_95 == figures.tangent_error == 0.0
    assert figures.drift < 1e-14
    assert 0.0 < figures.refinement[16] < 0.02  # backward Euler turns the flow direction once a step
    assert 0.0 < figures.refinement_stress[16] < 0.05
    assert figures.undriven == 0
    # From the virgin state nothing can be taken out; most of the work of these cycles is dissipated.
    assert figures.cycle_work > -1e-12
    assert figures.cycle_loss > 0.2
    assert figures.softest > 0.0


def test_a_law_whose_tangent_is_not_symmetric_makes_energy_on_a_closed_cycle(kept_back) -> None:
    """σ = (C + K) ε with K skew gives W = ± 2 A v·K u on an ellipse of area A in the plane (u, v)."""
    skew = np.zeros((6, 6))
    skew[0, 1], skew[1, 0] = 40.0, -40.0
    law = Flawed(skew=skew)
    assert audit(law, kept_back).cycle_work < -1e-3
    cycles = ellipses(kept_back)
    moved = np.diff(cycles, axis=1)
    stress = cycles @ (SPRING.stiffness + skew).T
    work = np.sum(0.5 * (stress[:, 1:] + stress[:, :-1]) * moved, axis=(1, 2))
    # Twice the area in the plane of the first two components, by the shoelace formula.
    x, y = cycles[..., 0], cycles[..., 1]
    area = np.sum(x[:, :-1] * y[:, 1:] - x[:, 1:] * y[:, :-1], axis=1)
    np.testing.assert_allclose(work, -40.0 * area, atol=1e-12 * np.abs(work).max())
    shares = cycle_work(law, kept_back)[: len(cycles)]
    np.testing.assert_array_equal(np.sign(shares[0::2]), -np.sign(shares[1::2]))  # both senses


def test_cycles_lie_inside_the_strains_of_the_data_and_close() -> None:
    data = sample(SPRING, gaussian_process(6, seed=0, steps=5, bound=0.01))
    cycles = ellipses(data)
    assert (cycles[:, 0] == 0.0).all()
    assert (cycles[:, -1] == 0.0).all()
    assert (cycles.min(axis=(0, 1)) >= data.strain.min(axis=(0, 1))).all()
    assert (cycles.max(axis=(0, 1)) <= data.strain.max(axis=(0, 1))).all()


@pytest.fixture(scope="module")
def large() -> Dataset:
    return sample(NeoHooke(mu=1.0, K=5.0), gaussian_process(5, seed=0, steps=12, bound=0.3, kinematics=F3))


def test_hyperelasticity_does_no_work_on_closed_cycles_at_large_strain(large) -> None:
    assert np.abs(cycle_work(NeoHooke(mu=1.0, K=5.0), large)).max() < 1e-10


@pytest.mark.parametrize("law", [NeoHooke(mu=1.0, K=5.0), FiniteJ2(E=1000.0, nu=0.3, yield_stress=50.0, H=100.0)])
def test_objective_laws_rotate_with_the_body(large, law: Material) -> None:
    assert rotation_error(law, large) < 1e-11


class NotObjective(Material):
    """P = 2µ (F − I): a linear law of the displacement gradient knows rotations as strains."""

    kinematics = F3

    def update(self, strain, state, dt, *, tangent=True):
        matrix = np.tile(2.0 * np.eye(9), (len(strain), 1, 1)) if tangent else None
        return Response(2.0 * (strain - self.kinematics.reference), matrix, state.copy())


def test_a_law_that_takes_a_rotation_for_a_strain_is_caught(large) -> None:
    assert rotation_error(NotObjective(), large) > 1.0
    assert audit(NotObjective(), large).rotation > 1.0


def test_at_rest_the_acoustic_tensor_has_the_moduli_of_shear_and_pressure_waves() -> None:
    mu, K = 2.0, 5.0
    rest = F3.reference[None]
    tangent = NeoHooke(mu=mu, K=K).update(rest, np.zeros((1, 0)), 1.0).tangent
    assert ellipticity(tangent)[0] == pytest.approx(mu / (K + 4.0 * mu / 3.0), rel=1e-12)


def saint_venant(F: np.ndarray, lame: float = 1.0, mu: float = 1.0) -> np.ndarray:
    """∂P/∂F[9, 9] of P = F (λ tr(E) 1 + 2 µ E)."""
    I, d = np.eye(len(F)), len(F)  # noqa: E741
    E = 0.5 * (F.T @ F - I)
    S = lame * np.trace(E) * I + 2.0 * mu * E
    C = lame * np.einsum("MJ,NL->MJNL", I, I)
    C = C + mu * (np.einsum("MN,JL->MJNL", I, I) + np.einsum("ML,JN->MJNL", I, I))
    moduli = np.einsum("ik,JL->iJkL", I, S) + np.einsum("iM,MJNL,kN->iJkL", F, C, F)
    return moduli.reshape(d * d, d * d)


@pytest.mark.parametrize("d", [2, 3])
def test_a_body_that_is_squeezed_below_one_over_root_three_is_not_elliptic(d: int) -> None:
    """Saint-Venant and Kirchhoff: ∂P₁₁/∂F₁₁ = ½ (λ + 2µ)(3 F₁₁² − 1), an acoustic eigenvalue along the axis."""
    stretches = (0.55, 0.95)
    tangents = np.array([saint_venant(np.diag([stretch] + [1.0] * (d - 1))) for stretch in stretches])
    squeezed, sound = ellipticity(tangents)
    assert tangents[0, 0, 0] == pytest.approx(0.5 * 3.0 * (3.0 * 0.55**2 - 1.0))
    assert squeezed <= 0.99 * tangents[0, 0, 0] / np.abs(tangents[0]).max()
    assert sound > 0.1


def test_only_the_tangent_of_a_finite_law_has_an_acoustic_tensor(large, kept_back) -> None:
    assert ellipticity(None).size == 0
    assert ellipticity(np.ones((1, 6, 6))).size == 0
    assert audit(NeoHooke(mu=1.0, K=5.0), large).elliptic > 0.0
    assert audit(SPRING, kept_back).elliptic is None


def test_under_stress_control_a_law_that_counts_its_steps_answers_with_other_strains(kept_back) -> None:
    """ε_j = C⁻¹ σ_j / (1 + c k_j) after k_j = j (or f·j) steps: the spread has a closed form."""
    creep = 1e-2
    reading = stress_refinement(Flawed(creep=creep), kept_back)
    steps = np.arange(1, kept_back.times)
    size = np.linalg.norm(kept_back.strain[:, 1:], axis=2)
    for factor, spread in reading.spread.items():
        coarse = size / (1 + creep * steps)
        change = coarse - size / (1 + creep * steps * factor)
        exact = np.sqrt(np.sum(change**2, axis=1) / np.sum(coarse**2, axis=1))
        np.testing.assert_allclose(spread, exact, rtol=1e-5)


def test_a_law_with_a_limit_load_is_not_led_beyond_it_and_says_so() -> None:
    hard = J2(E=210e3, nu=0.3, yield_stress=250.0, H=10e3)
    data = sample(hard, gaussian_process(4, seed=1, steps=20, bound=0.05))
    figures = audit(J2(E=210e3, nu=0.3, yield_stress=250.0, H=0.0), data)
    assert figures.undriven == figures.stress_paths == 4
    assert figures.refinement_stress is None


def test_an_lstm_drifts_and_depends_on_the_reading(law, paths) -> None:
    found = measure(law, paths[1])
    assert found.figures.drift > 1e-4
    assert found.drift.shape == (5, 101)
    assert (found.drift[:, 0] == 0.0).all()
    assert found.figures.refinement[16] > 1e-4
    assert found.figures.model_dump() == law.card.figures.model_dump()  # what make_law wrote


class Storing(Flawed):
    """The spring that says it stores ``share`` of its elastic energy."""

    share = 1.0

    def stored_energy(self, strain, state):
        return self.share * 0.5 * np.einsum("pi,ij,pj->p", strain, SPRING.stiffness, strain)


@pytest.mark.parametrize("share", [1.0, 1.2, 0.8])
def test_a_law_that_stores_another_energy_than_its_work_is_caught(kept_back, monkeypatch, share: float) -> None:
    """D = W − Δψ = (1 − share) ΔW: too much is missing while it is loaded, too little while it is unloaded."""
    monkeypatch.setattr(Storing, "share", share)
    least = audit(Storing(), kept_back).dissipation
    if share == 1.0:
        assert abs(least) < 1e-14
    else:
        assert least < -0.01


def test_without_a_teacher_what_needs_none_is_measured_inside_the_envelope(law, paths) -> None:
    found = measure_alone(law, law.card.envelope, paths=4)
    figures, envelope = found.figures, law.card.envelope
    for name in ("error_mean", "error_median", "error_95", "tangent_error", "tangent_95", "stiffness_error"):
        assert getattr(figures, name) is None
    assert figures.drift > 0.0
    assert figures.tangent_check < 1e-6
    assert figures.cycle_work is not None
    assert not found.taught
    assert (found.dataset.strain >= np.array(envelope.strain_min)).all()
    assert (found.dataset.strain <= np.array(envelope.strain_max)).all()
    assert np.ptp(found.dataset.strain) > 0.2 * np.ptp(envelope.strain_max + envelope.strain_min)


def in_pascal(dataset: Dataset) -> Dataset:
    """The same paths with their stress in Pa, as the card says."""
    stress = {name: 1e6 * dataset.arrays[name] for name in ("stress", "tangent")}
    card = dataset.card.model_copy(update={"units": Units(stress="Pa"), "stiffness": None})
    return Dataset(**dataset.arrays | stress, card=card)


def test_a_law_is_measured_in_its_own_units_only(law, paths) -> None:
    training, kept_back = paths
    other = in_pascal(kept_back)
    differ = (
        r"law are \(stress MPa, .*\), those of the kept-back paths \(stress Pa, .*convert the numbers of one of them"
    )
    with pytest.raises(InputError, match=differ):
        measure(law, other)
    with pytest.raises(InputError, match=r"the law are \(stress MPa"):
        make_law(law.network, law.card.scaling, name="mixed", training=training, kept_back=other)


def test_a_law_in_other_units_samples_and_is_measured_without_a_teacher_in_these(law, paths) -> None:
    training, kept_back = map(in_pascal, paths)
    own = make_law(law.network, Scaling.fit(training), name="Pa", training=training, kept_back=kept_back)
    assert measure_alone(own, own.card.envelope, paths=2).dataset.units == Units(stress="Pa")
    path = StrainPath(kept_back.time[0], kept_back.strain, PLANE_STRAIN)
    assert audit(own, sample(own, path)).error_mean == 0.0
    formula = PlaneStrain(J2(E=210e9, nu=0.3, yield_stress=250e6, H=2000e6))  # says nothing about its units
    assert audit(formula, kept_back).error_mean < 1e-12


class Failing(Material):
    """The spring, which fails wherever 11 is stretched beyond a bound."""

    kinematics = SMALL_STRAIN_3D

    def __init__(self, bound):
        self.bound = bound

    def update(self, strain, state, dt, *, tangent=True):
        answer = SPRING.update(strain, state, dt, tangent=tangent)
        failed = strain[:, 0] > self.bound
        answer.stress[failed] = np.nan
        return Response(answer.stress, answer.tangent, state, np.where(failed, -1, 1).astype(np.int8))


def test_without_a_teacher_points_that_fail_are_counted_before_their_paths_are_left_out(kept_back, caplog) -> None:
    envelope = Envelope.of(kept_back)
    strain = envelope_paths(envelope, SMALL_STRAIN_3D, paths=8).strain[..., 0]
    bound = np.sort(strain.max(axis=1))[-3:-1].mean()  # two of the eight go beyond
    found = measure_alone(Failing(bound), envelope, paths=8)
    assert found.figures.failed == np.count_nonzero(strain > bound)
    assert found.figures.paths == found.dataset.paths == 6
    verdicts = {line.goal.figure: line.verdict for line in judge(found.figures)}
    assert verdicts["failed"] is Verdict.BAD
    assert verdicts["drift"] is Verdict.GOOD
    assert "The law fails on 2 of 8 random paths" in caplog.text
    assert "teacher" not in caplog.text
    with pytest.raises(InputError, match="The law fails on all 8 random paths inside its envelope"):
        measure_alone(Failing(-1.0), envelope, paths=8)


def test_paths_of_an_envelope_at_finite_strain_begin_at_the_identity(large) -> None:
    path = envelope_paths(Envelope.of(large), F3, paths=3)
    np.testing.assert_array_equal(path.strain[:, 0], np.tile(np.eye(3).ravel(), (3, 1)))
    assert (path.strain >= large.strain.min(axis=(0, 1))).all()


class Mechanism(Material):
    """A bar along 11: of strains that do not stretch it, nothing is left but round-off."""

    kinematics = SMALL_STRAIN_3D
    state_layout = StateLayout(steps=1)

    def __init__(self, noise=0.0):
        self.noise = noise

    def update(self, strain, state, dt, *, tangent=True):
        stress = np.zeros_like(strain)
        stress[:, 0] = 1000.0 * strain[:, 0]
        # Round-off looks like chance: another one at every step and every strain, and none in the virgin state at rest.
        stress[:, 1:] += self.noise * np.sin(1e9 * strain[:, 1:] + state)
        matrix = np.zeros((len(strain), 6, 6))
        matrix[:, 0, 0] = 1000.0
        return Response(stress, matrix if tangent else None, state + 1.0)


def idle(dataset: Dataset, *, rows: int = 1) -> Dataset:
    """The paths with ``rows`` more, which stay undeformed and have no stress."""
    more = {name: np.concatenate([array, 0.0 * array[:rows]]) for name, array in dataset.arrays.items()}
    return Dataset(**more | {"time": dataset.time[0], "tangent": None}, card=dataset.card)


def test_paths_without_stress_leave_the_figures_of_the_others_as_they_are(kept_back) -> None:
    law = Flawed(stiffer=0.1)
    alone, both = measure(law, kept_back), measure(law, idle(kept_back))
    np.testing.assert_array_equal(both.errors, [*alone.errors, 0.0])
    assert both.figures.error_median == pytest.approx(0.1)


def test_round_off_on_a_path_without_stress_is_no_error() -> None:
    """Neither the teacher's nor the law's: stress, refinement, drift, and the work of a strain that meets no stress."""
    path = gaussian_process(4, seed=0, steps=6, bound=0.01)
    strain = np.concatenate([path.strain, path.strain[:2], np.zeros((1, 7, 6))])
    strain[4:6, :, 0] = 0.0  # these two do not stretch the bar
    data = sample(Mechanism(), StrainPath(path.times, strain), tangent=True)
    found = measure(Mechanism(noise=1e-14), data)
    for numbers in (found.errors, found.drift, *found.refinement.values()):
        assert np.abs(numbers).max() < 1e-9
    assert abs(found.cycles.min()) < 1e-5
    with_noise = sample(Mechanism(noise=1e-14), StrainPath(path.times, strain), tangent=True)
    assert audit(Mechanism(), with_noise).error_95 < 1e-9


def test_a_law_that_answers_a_path_without_stress_has_the_finite_error_that_training_saw(paths) -> None:
    training, kept_back = paths
    more, scaling = idle(kept_back), Scaling.fit(training)
    torch.manual_seed(0)
    network = LSTM(features=3, outputs=3, hidden=4, rest=False).double()
    for weight in network.parameters():
        torch.nn.init.normal_(weight)
    law = make_law(network, scaling, name="restless", training=training, kept_back=more)
    features, device = feature_map(("strain",), scaling), torch.device("cpu")
    samples = Samples.of(more, features, scaling.stress, device, torch.float64)
    with torch.no_grad():
        seen = path_errors(network, samples, torch.arange(more.paths)).numpy()
    found = measure(law, more)
    errors = relative_errors(found.answers.stress[:, 1:], more.stress[:, 1:])  # training leaves the virgin row out
    assert errors[-1] > 100.0 * errors[:-1].max()
    np.testing.assert_allclose(errors, seen, rtol=1e-6)
    assert np.isfinite([law.card.figures.error_mean, law.card.figures.error_95]).all()


def test_every_goal_judges_a_figure_and_is_ordered() -> None:
    for goal in GOALS:
        assert goal.figure in Figures.model_fields
        assert goal.judge(goal.good) is Verdict.GOOD
        assert goal.judge(goal.fair) in (Verdict.FAIR, Verdict.GOOD)
        worse = goal.fair - 1.0 if goal.least else goal.fair + 1.0
        assert goal.judge(worse) is Verdict.BAD
        assert goal.judge(float("nan")) is Verdict.BAD
        assert goal.judge(None) is Verdict.UNKNOWN


def test_a_law_is_judged_by_its_worst_refinement_and_by_the_card_where_nothing_was_measured(kept_back) -> None:
    good = audit(SPRING, kept_back)
    uneven = good.model_copy(update={"refinement": {2: 0.3, 16: 0.0}, "error_mean": None})
    lines = {line.goal.figure: line for line in judge(uneven)}
    assert lines["refinement"].value == 0.3
    assert lines["refinement"].verdict is Verdict.BAD
    assert lines["error_mean"].verdict is Verdict.UNKNOWN
    assert lines["rotation"].shown == "not measured"
    assert stands(judge(uneven), judge(good))[0] is Verdict.GOOD


def test_small_figures_show_their_power_of_ten() -> None:
    drift = next(goal for goal in GOALS if goal.figure == "drift")
    assert drift.show(0.0123) == "1.23 %"
    assert drift.show(2.24e-9) == "2.2·10⁻⁹"
    assert drift.show(-1e-12) == "−1·10⁻¹²"
    assert drift.show(float("nan")) == "not finite"
    assert drift.wanted == "≤ 1·10⁻⁹"


def test_a_law_that_is_two_per_cent_stiffer_is_two_per_cent_off(kept_back) -> None:
    figures = audit(Flawed(stiffer=0.02), kept_back)
    for value in (figures.error_mean, figures.error_median, figures.error_95, figures.tangent_error):
        assert value == pytest.approx(0.02, rel=1e-10)
    assert figures.stiffness_error == pytest.approx(0.02, rel=1e-10)


def test_a_law_that_counts_its_steps_drifts_and_depends_on_the_reading(kept_back) -> None:
    """σ grows by 1e-4 a step: 100 held steps change it by just under 1 % of its last value."""
    creep = 1e-4
    figures = audit(Flawed(creep=creep), kept_back)
    last, largest = (np.linalg.norm(kept_back.stress, axis=2)[:, -1], None)
    law = Flawed(creep=creep)
    state, norms = law.initial_state(6), []
    for k in range(1, 106):
        answer = law.update(kept_back.strain[:, min(k, 5)], state, 1.0)
        state, norms = answer.state, [*norms, np.linalg.norm(answer.stress, axis=1)]
    largest = np.max(norms, axis=0)
    assert figures.drift == pytest.approx(np.mean(100 * creep * last / largest), rel=1e-3)
    # Read in k times finer steps, the stress of step j has seen j·(k − 1) steps more.
    more = np.arange(1, 6)
    norm = np.linalg.norm(kept_back.stress[:, 1:], axis=2)
    for factor, spread in figures.refinement.items():
        exact = np.sqrt(((creep * more * (factor - 1) * norm) ** 2).sum(1) / (((1 + creep * more) * norm) ** 2).sum(1))
        assert spread == pytest.approx(exact.mean(), rel=1e-9)


def test_a_preloaded_law_has_stress_at_rest(kept_back) -> None:
    scale = np.sqrt(np.mean(kept_back.stress**2))
    figures = audit(Flawed(preload=0.01), kept_back)
    assert figures.stress_at_rest == pytest.approx(0.01 * np.sqrt(6) / scale, rel=1e-12)


def test_a_wrong_tangent_is_found_by_differences(kept_back) -> None:
    assert audit(Flawed(tangent=0.1), kept_back).tangent_check == pytest.approx(0.1 / 1.1, rel=1e-6)


def test_a_tangent_that_is_not_positive_is_reported(kept_back) -> None:
    """Eigenvalues 2G − s and 3K − s with 2G = 800, 3K = 2000."""
    assert audit(Flawed(soft=1000.0), kept_back).softest == pytest.approx(-200.0 / 1000.0, rel=1e-12)


def test_failing_points_are_counted_and_do_not_stop_the_audit(kept_back) -> None:
    figures = audit(Flawed(fails=True), kept_back)
    assert figures.failed == kept_back.times
    assert np.isnan(figures.error_mean)


def test_a_law_of_other_kinematics_is_refused() -> None:
    data = sample(Plane(), gaussian_process(2, seed=0, steps=3, bound=0.01, kinematics=PLANE_STRAIN), tangent=False)
    with pytest.raises(InputError, match="plane_strain"):
        audit(SPRING, data)


class Plane(Material):
    kinematics = PLANE_STRAIN

    def update(self, strain, state, dt, *, tangent=True):
        return Response(strain.copy(), np.tile(np.eye(3), (len(strain), 1, 1)) if tangent else None, state.copy())


def test_refining_keeps_the_corners_to_the_last_bit(kept_back) -> None:
    time, strain = refine(kept_back.time, kept_back.strain, 16)
    np.testing.assert_array_equal(strain[:, ::16], kept_back.strain)
    np.testing.assert_array_equal(time[:, ::16], kept_back.time)
    np.testing.assert_allclose(np.diff(time, axis=1), 1 / 80, rtol=1e-12)
