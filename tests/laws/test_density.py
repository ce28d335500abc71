"""The density of the training points: 1 is the edge of what training covered, and a law file keeps it exactly."""

from dataclasses import fields

import numpy as np
import pytest

from pointlaw.data import Dataset, Units, sample
from pointlaw.errors import InputError, LawFileError
from pointlaw.laws import LearnedMaterial, load_law, read_card, save_law
from pointlaw.laws.covered import with_density
from pointlaw.laws.density import LARGEST, Density, grades_along
from pointlaw.laws.replay import replay, state_after
from pointlaw.materials import J2, Material, PlaneStrain, Response
from pointlaw.paths import cyclic, gaussian_process, proportional, random_directions, random_walk
from pointlaw.tensors import PLANE_STRAIN

STEEL = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=5000.0))


def walks(count: int, seed: int, bound: float = 0.01) -> Dataset:
    return sample(
        STEEL, random_walk(count, seed=seed, steps=30, step_size=bound / 5, bound=bound, kinematics=PLANE_STRAIN)
    )


def times(factor: float, data: Dataset) -> Dataset:
    return Dataset(time=data.time, strain=factor * data.strain, stress=data.stress, card=data.card)


@pytest.fixture(scope="module")
def density() -> Density:
    """Of J2 itself: nothing in a density needs a network."""
    return Density.fit(STEEL, walks(150, 1), walks(80, 2))


def test_at_least_98_of_100_points_of_unseen_paths_of_the_same_kind_are_inside(density) -> None:
    grades = grades_along(STEEL, walks(100, 3), density)
    assert np.mean(grades <= 1.0) >= 0.98
    assert 0.2 < np.median(grades) < 0.8  # not by calling everything the inside


def test_paths_of_twice_the_amplitude_leave_it(density) -> None:
    data = times(2.0, walks(100, 3))
    grades = grades_along(STEEL, data, density)
    size = np.linalg.norm(data.strain[:, 1:], axis=2)
    assert (grades[size > 0.014] > 1.0).all()
    assert (grades.max(axis=1) > 1.0).all()


def test_no_training_point_is_outside(density) -> None:
    assert grades_along(STEEL, walks(150, 1), density).max() <= 1.0


def test_the_grade_grows_with_the_distance(density) -> None:
    direction = random_directions(20, seed=5, kinematics=PLANE_STRAIN)
    state = STEEL.initial_state(20)
    grades = [density(size * direction, 0.0 * direction, state) for size in (0.02, 0.04, 0.08)]
    assert (np.diff(grades, axis=0) > 0.5).all()


def test_a_history_that_training_never_had_is_outside_though_its_strains_are_not() -> None:
    # Training only loads. Cycles pass no other strains, but with a plastic strain that piles up.
    along = random_directions(400, seed=1, kinematics=PLANE_STRAIN)
    along -= along[:, :2].mean(axis=1)[:, None] * [1.0, 1.0, 0.0]  # shear only, so that it flows
    size = np.random.default_rng(1).uniform(0.002, 0.01, 400)
    loading = sample(STEEL, proportional(along, amplitude=size, steps=20, kinematics=PLANE_STRAIN))
    density = Density.fit(STEEL, loading.subset(slice(300)), loading.subset(slice(300, 400)))
    cycles = sample(STEEL, cyclic(along[:20], amplitude=0.008, cycles=3, steps=20, kinematics=PLANE_STRAIN))
    grades = grades_along(STEEL, cycles, density)
    assert (grades[:, :20] <= 1.0).mean() > 0.98  # the first loading is known
    assert (grades[:, -60:] > 1.0).mean() > 0.98


def test_a_step_longer_than_any_of_the_training_counts_as_outside_unless_told_otherwise(density) -> None:
    rest, state = np.zeros((2, 3)), STEEL.initial_state(2)
    long = np.array([[0.0019, 0.0, 0.0], [0.003, 0.0, 0.0]])
    assert (density(rest, long, state) > 1.0).tolist() == [False, True]
    careless = Density.fit(STEEL, walks(40, 1), walks(20, 2), steps=False)
    assert (careless(rest, 1e3 * long, state) <= 1.0).all()


def test_points_that_are_not_finite_have_the_largest_grade(density) -> None:
    strain = np.array([[np.nan, 0.0, 0.0], [np.inf, 0.0, 0.0], [1e200, 0.0, 0.0], [0.0, 0.0, 0.0]])
    grades = density(strain, np.zeros_like(strain), STEEL.initial_state(4))
    assert grades[:3].tolist() == [LARGEST] * 3
    assert grades[3] < 1.0


def test_the_same_seed_gives_the_same_density_and_another_one_does_not() -> None:
    training, kept_back = walks(30, 1), walks(20, 2)
    one, two, three = (Density.fit(STEEL, training, kept_back, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one.arrays.values(), two.arrays.values(), strict=True))
    assert not np.array_equal(one.centres, three.centres)


def test_a_law_file_keeps_the_density_exactly_and_its_card_says_what_it_is(law, tmp_path) -> None:
    training, kept_back = walks(40, 1), walks(20, 2)
    with_it = with_density(law, training, kept_back, beyond=0.05)
    save_law(tmp_path / "law.safetensors", with_it)
    again = load_law(tmp_path / "law.safetensors")
    grades = [grades_along(w, walks(10, 3), w.density) for w in (with_it, again)]
    np.testing.assert_array_equal(*grades)
    coverage = read_card(tmp_path / "law.safetensors").envelope.density
    assert coverage.beyond <= 0.05 + 1e-9
    assert (coverage.centres, coverage.kept_back_paths) == (len(again.density.centres), 20)
    assert again.density.nbytes < 100_000


def test_a_law_without_a_density_is_saved_without_one(law, tmp_path) -> None:
    save_law(tmp_path / "law.safetensors", law)
    assert load_law(tmp_path / "law.safetensors").density is None


def test_wrong_options_and_other_kinematics_get_a_sentence(law) -> None:
    data = walks(5, 1)
    with pytest.raises(InputError, match="beyond < 1"):
        Density.fit(STEEL, data, data, beyond=1.0)
    with pytest.raises(InputError, match="The law takes small_strain_3d"):
        Density.fit(J2(E=210e3, nu=0.3, yield_stress=250.0), data, data)
    with pytest.raises(InputError, match=r"those of these paths \(stress Pa"):
        Density.fit(law, Dataset(**data.arrays, card=data.card.model_copy(update={"units": Units(stress="Pa")})), data)


@pytest.mark.parametrize("name", [field.name for field in fields(Density)])
def test_a_damaged_density_is_refused_when_a_law_file_is_read(law, tmp_path, monkeypatch, name: str) -> None:
    with_it = with_density(law, walks(20, 1), walks(10, 2))
    path = tmp_path / "law.safetensors"
    whole = with_it.density.arrays
    nan = whole | {name: np.full_like(whole[name], np.nan)}
    for wrong, sentence in (
        (nan, f"density's '{name}' holds a value that is not finite"),
        (whole | {name: whole[name][None]}, "density's '[a-z]+' has the shape"),
        (whole | {name: whole[name].max()}, "density's '[a-z]+' has the shape"),
        ({key: array for key, array in whole.items() if key != name}, f"density in .* is incomplete.*'{name}'"),
    ):
        monkeypatch.setattr(Density, "arrays", wrong)
        save_law(path, with_it)
        monkeypatch.undo()
        with pytest.raises(LawFileError, match=sentence):
            load_law(path)


def test_a_density_of_another_law_is_refused(law, density) -> None:
    with pytest.raises(InputError, match=r"density is of \d+ variables; the law .* has"):
        LearnedMaterial(law.network, law.card, density=density)


def test_paths_that_stay_at_one_point_have_no_density() -> None:
    still = times(0.0, walks(2, 1))
    with pytest.raises(InputError, match="training paths that move"):
        Density.fit(STEEL, still, still)


def test_a_replay_of_histories_of_different_length_ends_where_each_of_them_ends() -> None:
    path = gaussian_process(6, seed=4, steps=12, bound=0.01, kinematics=PLANE_STRAIN)
    time, count = np.tile(path.times, (6, 1)), np.array([1, 2, 5, 13, 13, 9])
    states, failed = state_after(STEEL, time, path.strain, count)
    assert not failed.any()
    for row, length in enumerate(count):
        alone = STEEL.initial_state(1)
        for k in range(1, length):
            alone = STEEL.update(path.strain[row : row + 1, k], alone, path.times[1]).state
        np.testing.assert_allclose(states[row], alone[0], rtol=1e-14, atol=1e-18)
    assert len(list(replay(STEEL, time, path.strain))) == 12


class Tears(Material):
    """Steel that fails where its strain is longer than 0.006."""

    kinematics, state_layout = STEEL.kinematics, STEEL.state_layout

    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        torn = np.linalg.norm(strain, axis=1) > 0.006
        return Response(answer.stress, answer.tangent, answer.state, np.where(torn, -1, 1))


def test_a_row_that_fails_in_a_replay_keeps_its_last_good_state_and_is_told() -> None:
    path = gaussian_process(6, seed=4, steps=12, bound=0.01, kinematics=PLANE_STRAIN)
    time, count = np.tile(path.times, (6, 1)), np.full(6, 13)
    torn = np.linalg.norm(path.strain, axis=2) > 0.006
    first = np.where(torn.any(axis=1), torn.argmax(axis=1), 13)
    assert 0 < torn.any(axis=1).sum() < 6
    states, failed = state_after(Tears(), time, path.strain, count)
    np.testing.assert_array_equal(failed, torn.any(axis=1))
    np.testing.assert_array_equal(states, state_after(STEEL, time, path.strain, first)[0])
    made = np.zeros(6, dtype=int)
    for rows, _ in replay(Tears(), time, path.strain):
        made[rows] += 1
    np.testing.assert_array_equal(made, first - 1)


def test_points_that_a_law_fails_to_reach_are_no_part_of_its_density() -> None:
    data = walks(40, 1)
    density = Density.fit(Tears(), data, walks(40, 2))
    grades = grades_along(Tears(), data, density)
    torn = np.maximum.accumulate(np.linalg.norm(data.strain[:, 1:], axis=2) > 0.006, axis=1)
    assert torn.any()
    assert (grades[torn] == LARGEST).all()
    assert grades[~torn].max() <= 1.0
