"""A run that was stopped goes on as if it had not been, and a damaged checkpoint is never believed."""

import json

import h5py
import numpy as np
import pytest
import torch
from fem_bodies import ELASTIC_2D, PLASTIC_2D, PLASTIC_3D, Spy, mesh_of, slit_plate, square

from pointlaw.data import Scaling, sample
from pointlaw.errors import InputError, NotConverged
from pointlaw.fem import (
    ArcLength,
    Checkpoint,
    Displacement,
    MechanicsProblem,
    Observer,
    StepController,
    Traction,
    load_checkpoint,
    march,
    save_checkpoint,
)
from pointlaw.laws import make_law
from pointlaw.materials import PlaneStrain
from pointlaw.networks import build as build_network
from pointlaw.paths import gaussian_process
from pointlaw.rve import Balanced
from pointlaw.tensors import PLANE_STRAIN

pytestmark = pytest.mark.fem

HALVES = {"left half": lambda x: x[0] <= 0.5 + 1e-9, "right half": lambda x: x[0] >= 0.5 - 1e-9}


def build(law=PLASTIC_2D, *, n=2, cell="quadrilateral", parts=None, **options):
    supports = [
        Displacement("left", x=0.0),
        Displacement("bottom", y=0.0),
        Displacement("right", x=lambda t: 0.01 * t if t < 0.75 else 0.01 * (1.5 - t)),
    ]
    return MechanicsProblem(square(n, cell, parts=parts), law, supports=supports, **options)


def small_network(seed):
    """An untrained GRU as a law; only its weights depend on the seed."""
    path = gaussian_process(4, seed=0, steps=4, bound=0.01, kinematics=PLANE_STRAIN)
    training, kept_back = sample(PLASTIC_2D, path).split(0.5, 0.5)
    torch.manual_seed(seed)
    network = build_network("gru", {"features": 3, "outputs": 3, "hidden": 2})
    with torch.no_grad():
        network.head.prior.copy_(torch.eye(3))
    return make_law(network, Scaling.fit(training), name="small", training=training, kept_back=kept_back)


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of the standard problem at t = 0.5."""
    problem = build()
    march(problem, [0.5], observers=[Checkpoint(tmp_path / "run")])
    return tmp_path / "run"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"parts": HALVES, "law": {"left half": ELASTIC_2D, "right half": PLASTIC_2D}},
        {"cell": "triangle", "degree": 2},
    ],
    ids=["one region", "two regions", "degree 2"],
)
def test_a_restart_goes_on_exactly_as_the_run_would_have(tmp_path, options):
    whole, first, second = (build(**options) for _ in range(3))
    march(whole, [0.25, 0.5, 1.0])
    march(first, [0.25, 0.5])
    save_checkpoint(tmp_path, first)
    load_checkpoint(tmp_path, second)
    assert second.time == 0.5
    np.testing.assert_array_equal(second.u.x.array, first.u.x.array)
    for one, other in zip(first.regions.values(), second.regions.values(), strict=True):
        np.testing.assert_array_equal(one.history.committed, other.history.committed)
        assert one.history.updates == other.history.updates == 2
        for a, b in zip(one.committed, other.committed, strict=True):
            np.testing.assert_array_equal(a, b)
    march(second, [1.0])
    np.testing.assert_allclose(second.u.x.array, whole.u.x.array, atol=1e-14)
    np.testing.assert_allclose(second.fields.stress.x.array, whole.fields.stress.x.array, atol=1e-10)


def test_the_reaction_is_known_right_after_a_restart(folder):
    problem, twin = build(), build()
    march(twin, [0.5])
    load_checkpoint(folder, problem)
    np.testing.assert_allclose(problem.reaction("right"), twin.reaction("right"), rtol=1e-12, atol=1e-12)


def test_every_nth_step_and_always_the_last_one_is_written(tmp_path):
    times = []

    class Timed(Checkpoint):
        def _write(self, problem):
            times.append(problem.time)
            super()._write(problem)

    march(build(), [0.1, 0.2, 0.3, 0.4, 0.5], observers=[Timed(tmp_path, every=2)])
    assert times == [0.2, 0.4, 0.5]


def test_a_failed_run_leaves_its_last_converged_state(tmp_path):
    spy = Spy(PLASTIC_2D)
    spy.fail = lambda strain, call: np.abs(strain).max() > 0.006
    with pytest.raises(NotConverged) as caught:
        march(build(spy), [0.25, 0.5, 0.7], StepController(max_cuts=2), observers=[Checkpoint(tmp_path, every=100)])
    restarted = build()
    load_checkpoint(tmp_path, restarted, other_laws=True)
    assert restarted.time == caught.value.solution.times[-1] >= 0.5


def test_a_run_that_is_interrupted_within_a_step_leaves_the_step_before(tmp_path):
    twin = build()
    march(twin, [0.5])
    law = Spy(PLASTIC_2D)

    class Arm(Observer):
        def accepted(self, problem, report):
            law.at = law.calls + 2  # within the next step, when its displacements were already changed

    def interrupt(strain, call):
        if call == law.at:
            raise KeyboardInterrupt
        return False

    law.fail, law.at = interrupt, -1
    with pytest.raises(KeyboardInterrupt):
        march(build(law), [0.5, 0.6], observers=[Arm(), Checkpoint(tmp_path, every=100)])
    restarted = build()
    load_checkpoint(tmp_path, restarted, other_laws=True)
    assert restarted.time == 0.5
    np.testing.assert_array_equal(restarted.u.x.array, twin.u.x.array)
    np.testing.assert_array_equal(restarted.regions["body"].committed[0], twin.regions["body"].committed[0])


@pytest.mark.parametrize("formulation", ["displacement", "mixed"])
def test_a_checkpoint_within_a_step_is_that_of_the_last_accepted_one(tmp_path, formulation):
    problem, restarted = (build(formulation=formulation) for _ in range(2))
    march(problem, [0.5])
    accepted = problem.formulation.unknown.x.array.copy()
    problem.solve(0.6, 0.1)
    assert np.abs(problem.formulation.unknown.x.array - accepted).max() > 1e-4
    save_checkpoint(tmp_path, problem)
    load_checkpoint(tmp_path, restarted)
    np.testing.assert_array_equal(restarted.formulation.unknown.x.array, accepted)


def slit_problem():
    supports = [
        Displacement(lambda x: np.isclose(x[1], 0.0), x=0.0, y=0.0),
        Displacement(lambda x: np.isclose(x[1], 1.0), x=0.0, y=lambda t: 0.01 * t),
    ]
    return MechanicsProblem(slit_plate(), PLASTIC_2D, supports=supports)


def test_the_lips_of_a_crack_keep_their_own_displacements(tmp_path):
    problem, restarted = slit_problem(), slit_problem()
    march(problem, [1.0])
    lips = np.flatnonzero(np.all(np.isclose(problem.V.tabulate_dof_coordinates(), [0.0, 0.57, 0.0]), axis=1))
    assert np.ptp(problem.u.x.array.reshape(-1, 2)[lips, 1]) > 0.005  # two nodes at one place, far apart by now
    save_checkpoint(tmp_path, problem)
    load_checkpoint(tmp_path, restarted)
    np.testing.assert_array_equal(restarted.u.x.array, problem.u.x.array)


def test_nodes_are_found_in_any_order_within_their_cell(folder):
    # Elements of degree 3 turn the nodes on an edge as the numbers of its ends command, which depend on the partition.
    problem, twin = build(), build()
    march(twin, [0.5])
    with h5py.File(next(folder.glob("*.h5")), "r+") as file:
        file["cell_nodes"][...] = file["cell_nodes"][()][:, ::-1]
    load_checkpoint(folder, problem)
    np.testing.assert_array_equal(problem.u.x.array, twin.u.x.array)


def test_cells_that_lie_at_one_place_are_refused(tmp_path):
    def problem():
        corners = [[0, 0], [1, 0], [0, 1], [1, 1]]
        mesh = mesh_of([[0, 1, 2, 3], [4, 5, 6, 7]], corners * 2, "quadrilateral")
        return MechanicsProblem(mesh, ELASTIC_2D, supports=[Displacement(lambda x: np.isclose(x[0], 0.0), x=0, y=0)])

    save_checkpoint(tmp_path, problem())
    with pytest.raises(InputError, match="cells that lie at one place cannot be told apart"):
        load_checkpoint(tmp_path, problem())


@pytest.mark.parametrize("every", [0, -2])
def test_every_so_many_steps_is_at_least_every_one(tmp_path, every):
    with pytest.raises(InputError, match=f"Checkpoint: every = {every} must be at least 1"):
        Checkpoint(tmp_path, every=every)


# Paths with a load factor -------------------------------------------------------------------------------------------


def pulled(law=PLASTIC_2D, **options):
    pull = Traction("right", (lambda t: 10.0 * t, 0.0))
    return MechanicsProblem(square(2), law, supports=[Displacement("left", x=0.0, y=0.0)], loads=[pull], **options)


@pytest.fixture
def path_folder(tmp_path):
    """A checkpoint of a path, and the path itself."""
    path = ArcLength(pulled())
    march(path, [0.001, 0.002], observers=[Checkpoint(tmp_path / "path")])
    return tmp_path / "path", path


@pytest.mark.parametrize("formulation", ["displacement", "mixed"])
def test_a_path_goes_on_with_its_load_factor(tmp_path, formulation):
    path = ArcLength(pulled(formulation=formulation))
    march(path, [0.001, 0.002], observers=[Checkpoint(tmp_path)])
    restarted = ArcLength(pulled(formulation=formulation))
    load_checkpoint(tmp_path, restarted)
    assert restarted.time == path.time == 0.002
    assert restarted.load == restarted.problem.time == path.load > 0.1
    np.testing.assert_array_equal(restarted.direction, path.direction)
    for run in (path, restarted):
        march(run, [0.003])
    assert restarted.load == pytest.approx(path.load, rel=1e-10)
    np.testing.assert_allclose(restarted.u.x.array, path.u.x.array, atol=1e-14)


def test_the_problem_of_a_path_may_go_on_alone_at_its_load_factor(path_folder):
    folder, path = path_folder
    problem = pulled()
    load_checkpoint(folder, problem)
    assert problem.time == path.load
    np.testing.assert_allclose(problem.reaction("left"), [-10.0 * path.load, 0.0], rtol=1e-7, atol=1e-7)
    assert problem.solve(path.load, 1.0).iterations == 0


def test_a_path_that_has_not_begun_is_not_given_a_direction(tmp_path):
    save_checkpoint(tmp_path, ArcLength(pulled()))
    restarted = ArcLength(pulled())
    load_checkpoint(tmp_path, restarted)
    assert not restarted.moved
    march(restarted, [0.001])
    assert restarted.load > 0


def test_a_path_does_not_go_on_from_a_state_without_direction(tmp_path):
    problem, path = pulled(), ArcLength(pulled())
    march(problem, [0.1], observers=[Checkpoint(tmp_path)])
    with pytest.raises(
        InputError, match=r"was written by a MechanicsProblem and knows no direction .* make the ArcLength"
    ):
        load_checkpoint(tmp_path, path)
    assert path.time == path.load == 0.0
    load_checkpoint(tmp_path, path.problem)
    assert ArcLength(path.problem).load == 0.1


# How positions are compared -----------------------------------------------------------------------------------------


def test_nodes_are_found_again_though_rounding_moved_them():
    from pointlaw.fem.checkpoint import _matches

    x = np.random.default_rng(0).integers(0, 2**31, (1000, 3)) / 2.0**31  # all on the edges of one of the two grids
    shaken = x + np.random.default_rng(1).choice([-1e-16, 0.0, 1e-16], x.shape)
    order = np.random.default_rng(2).permutation(len(x))
    edges = np.all(x * 2**30 % 1 == 0, axis=1) | np.all(x * 2**30 % 1 == 0.5, axis=1)  # the rest lies on both grids
    here, there = _matches(x[edges], shaken[order])
    assert len(here) == edges.sum() > 50
    np.testing.assert_allclose(x[edges][here], shaken[order][there], atol=1e-15)


def test_only_the_newest_checkpoint_stays(tmp_path):
    march(build(), [0.25, 0.5, 1.0], observers=[Checkpoint(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.json", "t1.rank0.h5"]


def test_the_file_can_be_read_without_pointlaw(folder):
    manifest = json.loads((folder / "latest.json").read_text())
    assert manifest["time"] == 0.5
    assert manifest["laws"] == {"body": "PlaneStrain(J2)"}
    with h5py.File(folder / f"{manifest['name']}.rank0.h5") as file:
        assert file["u"].shape == (9, 2)
        assert file["regions/body/stress"].shape == (4, 4, 3)
        assert json.loads(file["regions/body"].attrs["layout"]) == PLASTIC_2D.state_layout.sizes


# What must not be believed ------------------------------------------------------------------------------------------


def unchanged(problem):
    return problem.time == 0.0 and not problem.u.x.array.any() and not problem.regions["body"].history.updates


def test_an_empty_folder_is_refused(tmp_path):
    problem = build()
    with pytest.raises(InputError, match="holds no complete checkpoint"):
        load_checkpoint(tmp_path / "nothing", problem)
    assert unchanged(problem)


def test_another_mesh_is_refused(folder):
    for other in (build(n=1), build(n=4), build(cell="triangle")):
        with pytest.raises(InputError, match=r"was written for a mesh of \{'cells': 4, .*; this problem has \{'cells'"):
            load_checkpoint(folder, other)


def test_a_mesh_of_the_same_size_in_another_place_is_refused(folder):
    other = build()
    other.body.mesh.geometry.x[:, 0] **= 2
    with pytest.raises(InputError, match="does not cover this mesh"):
        load_checkpoint(folder, other)


def test_another_law_is_refused_with_both_states(folder):
    with pytest.raises(InputError, match=r"the law of region 'body' had the state .*plastic_strain"):
        load_checkpoint(folder, build(ELASTIC_2D))


def test_another_law_with_the_same_state_is_refused_unless_it_is_wanted(folder):
    problem = build(PlaneStrain(Spy(PLASTIC_3D)))
    with pytest.raises(InputError) as refused:
        load_checkpoint(folder, problem)
    assert str(refused.value) == (
        f"{folder}: the state of region 'body' was written by PlaneStrain(J2), the law of this problem is "
        "PlaneStrain(Spy(J2)); if it can read that state, load it with other_laws=True."
    )
    assert unchanged(problem)
    load_checkpoint(folder, problem, other_laws=True)
    assert problem.time == 0.5


def test_the_hidden_state_of_another_training_is_refused(tmp_path):
    one, again, other = (small_network(seed) for seed in (0, 0, 1))
    problem = build(Balanced(one))
    march(problem, [0.5], observers=[Checkpoint(tmp_path)])
    load_checkpoint(tmp_path, build(Balanced(again)))
    with pytest.raises(InputError, match=r"'body' was written by Balanced\(gru .*is Balanced\(gru "):
        load_checkpoint(tmp_path, build(Balanced(other)))


def test_a_checkpoint_without_the_names_of_its_laws_is_read_on_demand_only(folder):
    manifest = json.loads((folder / "latest.json").read_text())
    del manifest["laws"]
    (folder / "latest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="written by a law without a name, the law of this problem is PlaneStrain"):
        load_checkpoint(folder, build())
    problem = build()
    load_checkpoint(folder, problem, other_laws=True)
    assert problem.time == 0.5


def test_a_checkpoint_that_does_not_know_the_nodes_of_cells_is_refused(folder):
    with h5py.File(next(folder.glob("*.h5")), "r+") as file:
        del file["cell_nodes"]
    problem = build()
    with pytest.raises(
        InputError, match="written by an early pointlaw, whose checkpoints do not tell nodes at one place"
    ):
        load_checkpoint(folder, problem)
    assert unchanged(problem)


def test_other_regions_are_refused(folder):
    with pytest.raises(InputError, match=r"with the regions \['body'\]"):
        load_checkpoint(folder, build(dict.fromkeys(HALVES, PLASTIC_2D), parts=HALVES))


def test_another_degree_is_refused(folder):
    with pytest.raises(InputError, match=r"'points a cell': 4.*'points a cell': 9"):
        load_checkpoint(folder, build(degree=2))


def test_a_half_written_shard_is_refused_and_changes_nothing(folder):
    shard = next(folder.glob("*.h5"))
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    problem = build()
    with pytest.raises(InputError, match="holds no complete checkpoint"):
        load_checkpoint(folder, problem)
    assert unchanged(problem)


def test_a_refused_checkpoint_changes_nothing_even_if_it_was_half_read(folder):
    with h5py.File(next(folder.glob("*.h5")), "r+") as file:
        del file["regions/body/tangent"]
    problem = build()
    with pytest.raises(InputError, match="holds no complete checkpoint"):
        load_checkpoint(folder, problem)
    assert unchanged(problem)
    march(problem, [0.5])  # and it is as good as new
    twin = build()
    march(twin, [0.5])
    np.testing.assert_array_equal(problem.u.x.array, twin.u.x.array)


def test_a_missing_shard_is_refused(folder):
    next(folder.glob("*.h5")).unlink()
    with pytest.raises(InputError, match="holds no complete checkpoint"):
        load_checkpoint(folder, build())


def test_a_broken_manifest_is_refused(folder):
    for text in ('{"time": 0.5, "ra', "{}"):
        (folder / "latest.json").write_text(text)
        with pytest.raises(InputError, match="holds no complete checkpoint"):
            load_checkpoint(folder, build())


def test_a_write_that_is_interrupted_leaves_the_older_checkpoint(folder, monkeypatch):
    problem = build()
    march(problem, [0.5, 1.0])

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(h5py, "File", full)
    with pytest.raises(OSError, match="cannot be written: No space left on device"):
        save_checkpoint(folder, problem)
    monkeypatch.undo()
    older = build()
    load_checkpoint(folder, older)
    assert older.time == 0.5


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        save_checkpoint(tmp_path / "file" / "run", build())
