import copy
import tracemalloc

import numpy as np
import pytest
import torch

from pointlaw.data import Feature, Units
from pointlaw.errors import InputError
from pointlaw.laws import Ensemble, Guarded, LearnedMaterial, load_law, save_law
from pointlaw.materials import PointStatus, Response
from pointlaw.networks import build
from pointlaw.testing import check_material

CONFIGS = {"lstm": {"hidden": 8}, "gru": {"hidden": 8, "layers": 2}, "feedforward": {"hidden": [9, 8]}}


def learned(law: LearnedMaterial, architecture: str, features: tuple[Feature, ...], **options) -> LearnedMaterial:
    """An untrained network of another kind behind the card of the small law."""
    torch.manual_seed(3)
    size = sum(1 if name == "dt" else 3 for name in features)
    network = build(architecture, {"features": size, "outputs": 3, **CONFIGS[architecture]})
    precision = options.pop("precision", "float64")
    changes = {"architecture": architecture, "config": network.config, "features": features, "precision": precision}
    return LearnedMaterial(network.double(), law.card.model_copy(update=changes), **options)


ALL = ("strain", "increment", "dt")


def test_the_identity_is_that_of_the_weights_and_of_what_they_are_fed(law, tmp_path) -> None:
    save_law(tmp_path / "law.safetensors", law)
    renamed = law.card.model_copy(update={"name": "another name", "units": Units(stress="Pa")})
    for same in (load_law(tmp_path / "law.safetensors"), LearnedMaterial(law.network, renamed)):
        assert same.identity == law.identity
    network = copy.deepcopy(law.network)
    with torch.no_grad():
        network.head.weight[0, 0] += 1e-6
    scaling = law.card.scaling.model_copy(update={"strain": [2.0 * scale for scale in law.card.scaling.strain]})
    rescaled = law.card.model_copy(update={"scaling": scaling})
    others = [LearnedMaterial(network, law.card), LearnedMaterial(law.network, rescaled)]
    assert len({law.identity, *(other.identity for other in others)}) == 3
    guarded = Guarded(Ensemble([law, others[0]]))
    assert guarded.identity == f"Guarded(Ensemble({law.identity}, {others[0].identity}))"


def test_training_on_does_not_change_the_identity_of_a_law_that_was_made_before(law) -> None:
    network = copy.deepcopy(law.network)
    made = LearnedMaterial(network, law.card)
    with torch.no_grad():
        network.head.weight.add_(1.0)
    assert made.identity == law.identity != LearnedMaterial(network, law.card).identity


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("features", [("strain",), ("increment",), ALL])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_a_learned_law_keeps_the_contract_of_a_material(law, architecture, features, folded) -> None:
    # A memoryless law fed with increments answers 0 at rest but is not asked for more; dt shifts the answer at rest.
    material = learned(law, architecture, features, folded=folded)
    check_material(material, amplitude=0.005, zero_stress=features == ("strain",)).raise_if_failed()


@pytest.mark.parametrize("features", [("strain",), ALL])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_folded_answer_is_the_answer_of_automatic_differentiation(law, rng, architecture, features) -> None:
    folded = learned(law, architecture, features, block=7)
    general = learned(law, architecture, features, folded=False, block=5)
    strain, state = rng.normal(0, 0.005, (20, 3)), rng.normal(0, 0.3, (20, folded.state_layout.size))
    mine, theirs = folded.update(strain, state, 0.3), general.update(strain, state, 0.3)
    for name in ("stress", "tangent", "state"):
        a, b = getattr(mine, name), getattr(theirs, name)
        np.testing.assert_allclose(a, b, atol=1e-12 * np.abs(b).max(initial=0.0), rtol=0)
    np.testing.assert_array_equal(mine.status, theirs.status)


@pytest.mark.parametrize("folded", [True, False])
def test_single_precision_inside_keeps_float64_at_the_door(law, rng, folded) -> None:
    single = learned(law, "lstm", ("strain",), precision="float32", folded=folded)
    double = learned(law, "lstm", ("strain",))
    strain, state = rng.normal(0, 0.005, (20, 3)), rng.normal(0, 0.3, (20, double.state_layout.size))
    mine, theirs = single.update(strain, state, 0.3), double.update(strain, state, 0.3)
    assert mine.stress.dtype == mine.tangent.dtype == mine.state.dtype == np.float64
    for name in ("stress", "tangent", "state"):
        a, b = getattr(mine, name), getattr(theirs, name)
        gap = np.abs(a - b).max() / np.abs(b).max()
        assert 1e-10 < gap < 2e-6


def test_points_outside_the_training_box_are_flagged_and_counted(law) -> None:
    lower, upper = np.array(law.card.envelope.strain_min), np.array(law.card.envelope.strain_max)
    strain = np.array([lower, upper, 0.5 * (lower + upper), upper * [1, 1, 1.001], lower * [1.001, 1, 1]])
    answer = law.update(strain, law.initial_state(5), 1.0)
    assert answer.status.tolist() == [1, 1, 1, 0, 0]
    assert law.outside == 2
    assert np.isfinite(answer.stress).all()


def test_points_that_are_not_finite_are_failed(law) -> None:
    strain, state = np.zeros((4, 3)), law.initial_state(4)
    strain[1, 0], state[2, 3], state[3, -1] = np.nan, np.nan, np.inf
    assert law.update(strain, state, 1.0).status.tolist() == [1, -1, -1, -1]
    assert law.update(strain, state, 1.0, tangent=False).status.tolist() == [1, -1, -1, -1]
    assert PointStatus.FAILED == -1


def test_update_into_writes_into_the_callers_arrays_without_copies(law, rng) -> None:
    p = 1100  # not a multiple of the block
    strain, state = rng.normal(0, 0.005, (p, 3)), law.initial_state(p)
    out = Response(np.full((p, 3), 7.0), np.full((p, 3, 3), 7.0), np.full(state.shape, 7.0))
    arrays = out.stress, out.tangent, out.state
    answer = law.update(strain, state, 1.0)
    law.update_into(strain, state, 1.0, out)
    assert all(a is b for a, b in zip(arrays, (out.stress, out.tangent, out.state), strict=True))
    np.testing.assert_array_equal(out.stress, answer.stress)
    np.testing.assert_array_equal(out.tangent, answer.tangent)
    np.testing.assert_array_equal(out.state, answer.state)


def test_update_into_leaves_the_tangent_alone_if_it_is_not_asked_for(law) -> None:
    out = Response(np.zeros((2, 3)), np.full((2, 3, 3), 7.0), law.initial_state(2))
    law.update_into(np.full((2, 3), 1e-3), law.initial_state(2), 1.0, out, tangent=False)
    assert (out.tangent == 7.0).all()


def test_arrays_with_strides_are_accepted_on_both_sides(law, rng) -> None:
    strain, state = rng.normal(0, 0.005, (6, 3)), law.initial_state(6)
    answer = law.update(strain, state, 1.0)
    wide = np.zeros((6, 2, 3))
    out = Response(wide[:, 1], np.zeros((6, 3, 3)), np.asfortranarray(state))
    law.update_into(np.asfortranarray(strain), np.asfortranarray(state), 1.0, out)
    np.testing.assert_array_equal(wide[:, 1], answer.stress)
    np.testing.assert_array_equal(out.state, answer.state)


def test_read_only_input_is_accepted(law, rng) -> None:
    strain, state = rng.normal(0, 0.005, (6, 3)), law.initial_state(6)
    answer = law.update(strain, state, 1.0)
    strain.setflags(write=False)
    state.setflags(write=False)
    np.testing.assert_array_equal(law.update(strain, state, 1.0).stress, answer.stress)


def test_wrong_shapes_get_a_sentence(law) -> None:
    with pytest.raises(InputError, match=r"takes strain \[p, 3\]"):
        law.update(np.zeros((2, 6)), law.initial_state(2), 1.0)
    with pytest.raises(InputError, match=r"state \[p, 16\]"):
        law.update(np.zeros((2, 3)), law.initial_state(3), 1.0)


def test_a_network_of_another_size_than_its_card_is_refused(law) -> None:
    with pytest.raises(InputError, match="takes 6 features and gives 6 answers"):
        LearnedMaterial(build("lstm", {"features": 6, "outputs": 6, "hidden": 4}), law.card)


def test_no_python_memory_grows_with_the_number_of_points(law, rng) -> None:
    peaks = []
    for points in (1_000, 21_000):
        strain, state = rng.normal(0, 0.005, (points, 3)), law.initial_state(points)
        out = law.update(strain, state, 1.0)
        tracemalloc.start()
        law.update_into(strain, state, 1.0, out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A tenth of a byte a point; benchmarks/bench_law.py measures what torch allocates.
    assert peaks[1] - peaks[0] < 2_000


def test_torch_is_held_to_one_thread(law) -> None:
    torch.set_num_threads(2)
    LearnedMaterial(law.network, law.card)
    assert torch.get_num_threads() == 1
