"""The closed loop on a problem without finite elements: points that are led further than training went."""

import numpy as np
import pytest
import torch

from pointlaw.data import load_dataset, sample
from pointlaw.errors import InputError
from pointlaw.laws import load_law, make_law
from pointlaw.laws.guard import Guarded
from pointlaw.materials import J2, PlaneStrain
from pointlaw.networks import GRU
from pointlaw.paths import drive, gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training import TrainConfig, fit
from pointlaw.training.active import Run, refine_until_inside
from pointlaw.training.ensemble import fit_ensemble

STEEL = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=5000.0))
CONFIG = TrainConfig(epochs=3, batch=16, learning_rate=5e-3)


def paths(count, seed, bound, steps=15):
    return gaussian_process(count, seed=seed, steps=steps, bound=bound, kinematics=PLANE_STRAIN)


def teach(path):
    return sample(STEEL, path, tangent=False)


@pytest.fixture(scope="module")
def start():
    training, kept_back = teach(paths(60, 1, 0.003)), teach(paths(30, 2, 0.003))
    torch.manual_seed(0)
    report = fit(GRU(features=3, outputs=3, hidden=8), training, CONFIG)
    return (
        make_law(report.network, report.scaling, name="s", training=training, kept_back=kept_back),
        training,
        kept_back,
    )


def lead(guarded):
    """Thirty points along paths of three times the amplitude."""
    record = drive(guarded, paths(30, 3, 0.01))
    return Run([record.state[:20, -1], record.state[20:, -1]], record.ok, record.stress)


def guard(law):
    return Guarded(law, policy="fall back", fallback=STEEL, history=16)


def test_the_loop_ends_inside_and_leaves_laws_and_paths(start, tmp_path) -> None:
    heard = []
    loop = refine_until_inside(
        *start, guard=guard, solve=lead, teacher=teach, folder=tmp_path, config=CONFIG, rounds=6, paths=20,
        stretch=(1.0, 1.2), density={"beyond": 0.001}, callback=heard.append,
    )  # fmt: skip
    first, last = loop.rounds[0], loop.rounds[-1]
    assert first.outside > 15
    assert first.points == 30
    assert loop.inside
    assert last.outside == 0
    assert "No point was outside after" in str(loop)
    assert [r.number for r in heard] == list(range(len(loop.rounds)))
    law = load_law(tmp_path / f"round_{last.number}.safetensors")
    np.testing.assert_array_equal(lead(guard(law)).result, last.result)
    added = load_dataset(tmp_path / "round_1.h5")
    assert added.paths == first.added == 40
    again = teach(paths(30, 3, 0.01))
    # What was added are strains that the points went through, with the teacher's answers, and the same stretched.
    assert {row.tobytes() for row in added.strain[::2]} <= {row.tobytes() for row in again.strain}
    np.testing.assert_array_equal(added.strain[1::2], 1.2 * added.strain[::2])
    assert loop.rounds[1].paths > first.paths
    assert law.card.envelope.density.kept_back_paths > 30


def test_the_loop_says_so_when_points_are_left_outside(start, tmp_path) -> None:
    loop = refine_until_inside(
        *start, guard=guard, solve=lead, teacher=teach, folder=tmp_path, config=CONFIG, rounds=0
    )  # fmt: skip
    assert not loop.inside
    assert f"{loop.rounds[0].outside} of 30 points are still outside after 0 rounds" in loop.reason


def test_a_run_that_stops_early_is_no_success_though_no_point_is_outside(start, tmp_path) -> None:
    def stops(guarded):
        return Run([guarded.initial_state(4)], False)

    loop = refine_until_inside(*start, guard=guard, solve=stops, teacher=teach, folder=tmp_path, config=CONFIG)
    assert not loop.inside
    assert len(loop.rounds) == 1
    assert "did not finish" in loop.reason


def test_a_history_longer_than_the_training_paths_is_refused(start, tmp_path) -> None:
    with pytest.raises(InputError, match="remembers 64 strains, but a training path has 16 times"):
        refine_until_inside(
            *start, guard=lambda law: Guarded(law), solve=lead, teacher=teach, folder=tmp_path, config=CONFIG
        )  # fmt: skip


def test_an_ensemble_is_trained_from_seeds_and_repeats() -> None:
    training, kept_back = (teach(paths(20, seed, 0.003, steps=5)) for seed in (1, 2))
    network = lambda: GRU(features=3, outputs=3, hidden=6)  # noqa: E731
    one, two = (fit_ensemble(network, training, kept_back, CONFIG, name="s", seeds=(0, 1)) for _ in range(2))
    assert [law.card.provenance.seed for law in one.laws] == [0, 1]
    assert one.calibration == two.calibration
    assert one.calibration.usual > 0.0
    assert one.laws[0].density is not None
    far = np.full((3, 3), 0.02)
    near = np.full((3, 3), 0.0005)
    spread = [one.spread(one.update(strain, one.initial_state(3), 1.0).state)[0] for strain in (near, far)]
    assert spread[1] > spread[0]
