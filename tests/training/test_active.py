"""The closed loop on a problem without finite elements: points that are led further than training went."""

import concurrent.futures
import importlib
import threading
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, Units, load_dataset, sample, save_dataset
from pointlaw.errors import InputError
from pointlaw.laws import load_law, make_law, save_law
from pointlaw.laws.guard import Guarded
from pointlaw.materials import J2, Material, PlaneStrain, PointStatus
from pointlaw.networks import GRU, PhysicallyRecurrent
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


def learned(training, kept_back, *, hidden):
    """Return the law that a network learns from ``training``, and both datasets."""
    torch.manual_seed(0)
    report = fit(GRU(features=3, outputs=3, hidden=hidden), training, CONFIG)
    law = make_law(report.network, report.scaling, name="s", training=training, kept_back=kept_back)
    return law, training, kept_back


@pytest.fixture(scope="module")
def start():
    return learned(teach(paths(60, 1, 0.003)), teach(paths(30, 2, 0.003)), hidden=8)


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


def test_data_in_other_units_than_the_law_are_refused(start, tmp_path) -> None:
    law, training, kept_back = start
    other = Dataset(**training.arrays, card=training.card.model_copy(update={"units": Units(stress="Pa")}))
    with pytest.raises(InputError, match=r"law are \(stress MPa, .* those of the training paths \(stress Pa"):
        refine_until_inside(law, other, kept_back, guard=guard, solve=lead, teacher=teach, folder=tmp_path)


@pytest.fixture(scope="module")
def small():
    """A law of few short paths: a round of its loop takes no time."""
    return learned(teach(paths(12, 1, 0.003, steps=3)), teach(paths(6, 2, 0.003, steps=3)), hidden=4)


def lead_shortly(guarded):
    record = drive(guarded, paths(12, 3, 0.01, steps=3))
    return Run([record.state[:, -1]], record.ok, record.stress)


SHORT = {
    "guard": lambda law: Guarded(law, policy="fall back", fallback=STEEL, history=4, limit=0.3),
    "config": CONFIG.model_copy(update={"checkpoint_every": 1}),
    "rounds": 2,
    "paths": 4,
}


class Killed:
    """A function that is killed when it is asked at some times."""

    def __init__(self, function, *times):
        self.function, self.times, self.asked = function, times, 0

    def __call__(self, *arguments):
        self.asked += 1
        if self.asked in self.times:
            raise KeyboardInterrupt
        return self.function(*arguments)


def said(loop):
    """Return what must be the same of two loops: all but the times and the results before a kill."""
    return [{**asdict(row), "seconds": None, "result": None} for row in loop.rounds], loop.reason


def test_a_loop_goes_on_wherever_it_was_killed_and_ends_with_the_same_law(small, tmp_path, monkeypatch) -> None:
    """Killed in the first solve, while the teacher answers and in an epoch; then ended before its time."""
    whole = refine_until_inside(*small, solve=lead_shortly, teacher=teach, folder=tmp_path / "whole", **SHORT)
    module = importlib.import_module("pointlaw.training.fit")
    solve, teacher, train = Killed(lead_shortly, 1), Killed(teach, 1), Killed(module._train, 2)
    monkeypatch.setattr(module, "_train", train)
    heard = []

    def run(**other):
        return refine_until_inside(
            *small, solve=solve, teacher=teacher, folder=tmp_path / "loop", checkpoint=tmp_path / "checkpoint",
            callback=heard.append, **{**SHORT, **other},
        )  # fmt: skip

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run()
    short = run(rounds=1)
    assert short.rounds[-1].outside > 0
    assert "outside after 1 rounds" in short.reason
    loop = run()
    assert said(loop) == said(whole)
    # Nothing was done twice but the epoch that was cut off, and the last solve of the loop that ended early.
    assert (solve.asked, teacher.asked, train.asked) == (1 + 4, 1 + 2, 1 + 6)
    assert [row.number for row in heard] == [0, 0, 1, 0, 1, 2]
    np.testing.assert_array_equal(loop.rounds[-1].result, whole.rounds[-1].result)
    for number in (1, 2):
        file = f"round_{number}.safetensors"
        assert (tmp_path / "loop" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
        data = [load_dataset(tmp_path / folder / f"round_{number}.h5").sha256 for folder in ("loop", "whole")]
        assert data[0] == data[1]


def test_the_checkpoint_of_another_loop_is_refused(small, tmp_path) -> None:
    law, training, kept_back = small
    options = {"solve": Killed(lead_shortly, 3), "teacher": teach, "folder": tmp_path, "checkpoint": tmp_path / "c"}
    options |= SHORT
    with pytest.raises(KeyboardInterrupt):
        refine_until_inside(*small, **options)
    config = SHORT["config"].model_copy(update={"seed": 1})
    for other in ({"config": config}, {"identity": "limit 0.5"}, {"paths": 7}, {"stretch": (1.0,)}, {"keep": 5}):
        with pytest.raises(InputError, match="another network, dataset or configuration"):
            refine_until_inside(*small, **{**options, **other})
    with pytest.raises(InputError, match="another network, dataset or configuration"):
        refine_until_inside(law, training.subset(slice(10)), kept_back, **options)
    # Files in the folder that another loop has written over.
    save_law(tmp_path / "round_1.safetensors", law)
    with pytest.raises(InputError, match=r"round_1.safetensors was not written by the loop of this checkpoint"):
        refine_until_inside(*small, **options)
    save_dataset(tmp_path / "round_1.h5", training)
    with pytest.raises(InputError, match=r"round_1.h5 was not written by the loop of this checkpoint"):
        refine_until_inside(*small, **options)


def test_a_known_stiffness_is_as_exact_after_a_round_as_before(tmp_path) -> None:
    training, kept_back = teach(paths(12, 1, 0.003, steps=3)), teach(paths(6, 2, 0.003, steps=3))
    network = PhysicallyRecurrent(features=3, outputs=3, elements=4, seed=0)
    report = fit(network, training, CONFIG)
    law = make_law(report.network, report.scaling, name="s", training=training, kept_back=kept_back)
    loop = refine_until_inside(
        law, training, kept_back, solve=lead_shortly, teacher=teach, folder=tmp_path, **{**SHORT, "rounds": 1}
    )
    assert len(loop.rounds) == 2
    assert loop.law.card.figures.stiffness_error < 1e-6


class Rank:
    """One of several threads that talk like ranks; they do not wait for one that fails for ever."""

    def __init__(self, rank, meeting, said):
        self.rank, self.size, self._meeting, self._said = rank, len(said), meeting, said

    def allgather(self, part):
        self._said[self.rank] = part
        self._meeting.wait()
        heard = list(self._said)
        self._meeting.wait()
        return heard

    def bcast(self, part):
        return self.allgather(part)[0]


def on_ranks(size, program):
    """Return what ``program(comm)`` returns or raises on each rank."""
    meeting, said = threading.Barrier(size, timeout=20.0), [None] * size
    with concurrent.futures.ThreadPoolExecutor(size) as pool:
        jobs = [pool.submit(program, Rank(rank, meeting, said)) for rank in range(size)]
        return [job.exception() or job.result() for job in jobs]


class Fragile(Material):
    """A teacher that fails at strains above 5 %."""

    kinematics, state_layout = STEEL.kinematics, STEEL.state_layout

    def update(self, strain, state, dt, *, tangent=True):
        reply = STEEL.update(strain, state, dt, tangent=tangent)
        return replace(reply, status=np.where(np.abs(strain).max(1) > 0.05, PointStatus.FAILED, reply.status))


def loop_on(comm, law, folder, stretch):
    """One round of a loop whose points are dealt over the ranks."""

    def lead_mine(guarded):
        run = lead_shortly(guarded)
        mine = np.array_split(run.states[0], comm.size)[comm.rank] if comm else run.states[0]
        return replace(run, states=[mine])

    options = {**SHORT, "rounds": 1, "stretch": stretch}
    teacher = lambda path: sample(Fragile(), path, tangent=False, teacher="PlaneStrain")  # noqa: E731
    return refine_until_inside(*law, solve=lead_mine, teacher=teacher, folder=folder, comm=comm, **options)


@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_ranks_adds_the_same_paths_though_the_teacher_fails_on_all_of_one_rank(small, tmp_path, size):
    stretch = (1.0, *(10.0,) * (size - 1))  # rank 0 alone gets strains that the teacher takes
    alone = loop_on(None, small, tmp_path / "alone", stretch)
    loops = on_ranks(size, lambda comm: loop_on(comm, small, tmp_path / "ranks", stretch))
    assert [said(loop) for loop in loops] == [said(alone)] * size
    assert alone.rounds[0].added == 4
    data = [load_dataset(tmp_path / folder / "round_1.h5").strain for folder in ("alone", "ranks")]
    np.testing.assert_array_equal(*data)


def test_where_the_teacher_fails_on_all_paths_every_rank_says_the_same(small, tmp_path) -> None:
    errors = on_ranks(2, lambda comm: loop_on(comm, small, tmp_path, (10.0, 20.0)))
    sentence = "The teacher fails on all 8 paths of the round; take a smaller stretch or smaller steps."
    assert [str(error) for error in errors] == [sentence] * 2
    assert all(isinstance(error, InputError) and error.collective for error in errors)


def test_an_ensemble_that_was_killed_goes_on_with_the_member_at_hand(tmp_path) -> None:
    training, kept_back = (teach(paths(12, seed, 0.003, steps=2)) for seed in (1, 2))
    config = CONFIG.model_copy(update={"checkpoint_every": 1})
    told = []

    def kill(seed, epoch) -> None:
        if (seed, epoch.number) == (1, 1):
            raise KeyboardInterrupt

    def network():
        return GRU(features=3, outputs=3, hidden=6)

    whole = fit_ensemble(network, training, kept_back, config, name="s", seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):
        fit_ensemble(
            network, training, kept_back, config, name="s", seeds=(0, 1), checkpoint=tmp_path, callback=kill
        )  # fmt: skip
    again = fit_ensemble(
        network, training, kept_back, config, name="s", seeds=(0, 1), checkpoint=tmp_path,
        callback=lambda seed, epoch: told.append((seed, epoch.number)),
    )  # fmt: skip
    assert told == [(0, 2), (1, 1), (1, 2)]
    assert again.calibration == whole.calibration
    assert [law.card for law in again.laws] == [law.card for law in whole.laws]
    with pytest.raises(InputError, match="another network, dataset or configuration"):
        fit_ensemble(network, kept_back, training, config, name="s", seeds=(0, 1), checkpoint=tmp_path)


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
