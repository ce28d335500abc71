"""What the explanation says, against laws whose reasons are known."""

import sys

import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, Scaling, Units, sample
from pointlaw.errors import EnvironmentProblem, InputError
from pointlaw.laws import LearnedMaterial, explain, make_law
from pointlaw.laws.explain import difference_sensitivity, forgetting, recover, sensitivity, shapley
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain, Response, StateLayout
from pointlaw.networks import GRU, LSTM
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN, SMALL_STRAIN_3D

STEEL = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0))


@pytest.fixture(scope="module")
def linear(paths) -> tuple[LearnedMaterial, np.ndarray]:
    """A law whose answer is its prior alone, and its stiffness ``[m, m]``."""
    training, kept_back = paths
    torch.manual_seed(1)
    network, scaling = LSTM(features=3, outputs=3, hidden=4), Scaling.fit(training)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.prior.copy_(torch.randn(3, 3))
    law = make_law(network, scaling, name="linear", training=training, kept_back=kept_back)
    prior = network.head.prior.detach().double().numpy()
    return law, np.diag(scaling.stress) @ prior @ np.diag(1.0 / np.array(scaling.strain))


def test_paths_at_rest_are_left_out_of_the_memory_of_the_teacher(law, paths) -> None:
    """Differences have no size there: 0/0."""
    kept_back = paths[1]
    rest = Dataset(kept_back.time, 0.0 * kept_back.strain, 0.0 * kept_back.stress, kept_back.card)
    one = Dataset(
        time=kept_back.time[0],
        strain=np.concatenate([rest.strain[:1], kept_back.strain]),
        stress=np.concatenate([rest.stress[:1], kept_back.stress]),
        card=kept_back.card,
    )
    found = explain(law, one, teacher=STEEL)
    expected = forgetting(difference_sensitivity(STEEL, kept_back), PLANE_STRAIN)
    np.testing.assert_allclose(found.teacher_memory, expected, rtol=1e-12)
    assert explain(law, rest, teacher=STEEL).teacher_memory is None


def test_sensitivities_by_back_propagation_are_those_by_differences(law, paths) -> None:
    few = paths[1].subset(slice(2))
    exact, differences = sensitivity(law, few), difference_sensitivity(law, few)
    assert exact.shape == (2, 8, 3, 3)
    np.testing.assert_allclose(differences, exact, atol=1e-6 * np.abs(exact).max())


def test_features_of_increments_and_time_are_differentiated_too(paths) -> None:
    training, kept_back = paths
    torch.manual_seed(3)
    law = make_law(
        GRU(features=7, outputs=3, hidden=5), Scaling.fit(training), name="gru", training=training,
        kept_back=kept_back, features=("strain", "increment", "dt"),
    )  # fmt: skip
    few = kept_back.subset(slice(2))
    exact, differences = sensitivity(law, few), difference_sensitivity(law, few)
    np.testing.assert_allclose(differences, exact, atol=1e-6 * np.abs(exact).max())


def test_an_elastic_law_feels_every_increment_alike(linear, paths) -> None:
    law, stiffness = linear
    slopes = sensitivity(law, paths[1])
    np.testing.assert_allclose(slopes, np.broadcast_to(stiffness, slopes.shape), rtol=1e-12)
    np.testing.assert_allclose(forgetting(slopes, PLANE_STRAIN), 1.0, rtol=1e-12)


def test_plasticity_forgets_shear_but_never_a_change_of_volume() -> None:
    """Perfectly plastic flow in shear: what came before the yield point is forgotten along the flow direction."""
    law = J2(E=210e3, nu=0.3, yield_stress=250.0)
    strain = np.zeros((1, 41, 6))
    strain[0, :, 5] = np.linspace(0.0, 0.02, 41)
    slopes = difference_sensitivity(law, Dataset(np.arange(41.0), strain, strain, sample(law, _any()).card))
    shear = slopes[0, :, 5, 5]
    np.testing.assert_allclose(shear, 0.0, atol=1e-6 * 210e3)  # the yield stress does not know how far one went
    volume = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(slopes[0] @ volume @ volume, 3.0 * 210e3 / (1 - 2 * 0.3), rtol=1e-8)


def _any():
    return gaussian_process(1, seed=0, steps=2, bound=0.001, kinematics=SMALL_STRAIN_3D)


def test_shapley_values_sum_to_the_stress_they_share_out(law, paths) -> None:
    found = shapley(law, paths[1], parts=3, orders=5)
    assert found.values.shape == (5, 3, 3)
    assert found.ends == (0, 3, 5, 8)
    np.testing.assert_allclose(found.values.sum(axis=(1, 2)), found.total, atol=2e-6 * np.abs(found.total).max())
    # The whole is the norm of the final stress, less what a path that stayed at rest has along it.
    stress = np.stack([_last(law, path, steps) for path, steps in zip(paths[1].strain, paths[1].time, strict=True)])
    still = np.stack([_last(law, 0 * path, steps) for path, steps in zip(paths[1].strain, paths[1].time, strict=True)])
    norm = np.linalg.norm(stress, axis=1)
    np.testing.assert_allclose(found.total, norm - np.sum(still * stress, axis=1) / norm, rtol=1e-9)


def _last(law, strain, time):
    state = law.initial_state(1)
    for k in range(1, len(strain)):
        answer = law.update(strain[k : k + 1], state, float(time[k] - time[k - 1]))
        state = answer.state
    return answer.stress[0]


def test_shapley_values_of_a_linear_law_are_its_terms(linear, paths) -> None:
    law, stiffness = linear
    found = shapley(law, paths[1], parts=4, orders=3)
    for path, strain in enumerate(paths[1].strain):
        final = stiffness @ strain[-1]
        weight = final / np.linalg.norm(final) @ stiffness
        terms = weight * np.diff(strain[list(found.ends)], axis=0)
        np.testing.assert_allclose(found.values[path], terms, atol=1e-6 * np.abs(terms).max())


def test_the_same_seed_gives_the_same_shapley_values_and_leaves_torch_alone(law, paths) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = shapley(law, paths[1], orders=2, seed=1).values
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(first, shapley(law, paths[1], orders=2, seed=1).values)


def test_without_captum_the_rest_is_explained(law, paths, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'pointlaw\[explain\]'"):
        shapley(law, paths[1])
    found = explain(law, paths[1])
    assert found.shapley is None
    assert found.memory.shape == (5, 8)


class Gatherer(Material):
    """Elastic, and counts the strains that it has seen."""

    kinematics = PLANE_STRAIN
    state_layout = StateLayout(gathered=1, idle=1)
    spring = PlaneStrain(LinearElastic(E=1000.0, nu=0.3))

    def update(self, strain, state, dt, *, tangent=True):
        answer = self.spring.update(strain, self.spring.initial_state(len(strain)), dt, tangent=tangent)
        return Response(answer.stress, answer.tangent, state + strain.sum(axis=1)[:, None] * [1.0, 0.0])


class Sums(torch.nn.Module):
    """Its memory is a third of the teacher's variable; its answer does not matter."""

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 1.0 * x, state + x.mean(1, keepdim=True)


@pytest.fixture(scope="module")
def gathered() -> tuple[LearnedMaterial, Dataset]:
    data = sample(Gatherer(), gaussian_process(24, seed=2, steps=12, bound=0.01, kinematics=PLANE_STRAIN))
    training, kept_back = data.subset(slice(0, 12)), data.subset(slice(12, 24))
    law = make_law(
        torch.jit.script(Sums()), Scaling.fit(training, "physical"), name="sums", training=training,
        kept_back=kept_back, config={"state_size": 1},
    )  # fmt: skip
    return law, kept_back


def test_a_memory_that_holds_the_teachers_variable_explains_all_of_it(gathered) -> None:
    law, data = gathered
    (found,) = recover(law, Gatherer(), data)  # 'idle' does not vary
    assert found.name == "gathered"
    assert found.r2 == pytest.approx(1.0, abs=1e-6)
    assert found.r2_both == pytest.approx(1.0, abs=1e-6)
    assert found.r2_strain < 0.9
    np.testing.assert_allclose(found.found, found.true, atol=1e-5 * np.abs(found.true).max())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("still", [0, 1])
def test_a_variable_that_varies_on_one_half_of_the_paths_only_is_left_out(gathered, still: int) -> None:
    """A map can be fitted to the one half or judged on the other, not both."""
    law, data = gathered
    strain = data.strain.copy()
    strain[still::2] = 0.0
    assert recover(law, Gatherer(), Dataset(data.time, strain, data.stress, data.card)) == []


def test_the_explanation_of_a_foreign_script_compares_it_with_its_teacher(gathered) -> None:
    law, data = gathered
    found = explain(law, data, teacher=Gatherer())
    assert found.teacher_error == 0.0
    np.testing.assert_allclose(found.teacher_memory, 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.memory, 1.0, rtol=1e-9)
    np.testing.assert_allclose(found.inputs, np.diag(law.card.scaling.stress), atol=1e-9)


def test_paths_of_other_kinematics_are_refused(law) -> None:
    solid = sample(J2(E=1.0, nu=0.3, yield_stress=0.1), gaussian_process(2, seed=0, steps=3, bound=0.01))
    with pytest.raises(InputError, match="The law takes plane_strain"):
        explain(law, solid)


def test_paths_in_other_units_are_refused(law, paths) -> None:
    card = paths[1].card.model_copy(update={"units": Units(stress="Pa")})
    with pytest.raises(InputError, match=r"law are \(stress MPa, .* those of the paths \(stress Pa"):
        explain(law, Dataset(**paths[1].arrays, card=card))


def test_a_law_that_is_not_the_teacher_is_refused(law, paths) -> None:
    with pytest.raises(InputError, match="is not the teacher of these data"):
        explain(law, paths[1], teacher=PlaneStrain(J2(E=100e3, nu=0.3, yield_stress=250.0)))
    with pytest.raises(InputError, match="the paths are plane_strain"):
        explain(law, paths[1], teacher=J2(E=100e3, nu=0.3, yield_stress=250.0))
