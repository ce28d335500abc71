"""One to four ranks compute the same, more ranks than cells included; what one rank meets, all ranks learn."""

import numpy as np
import pytest

pytestmark = pytest.mark.fem

EVERY_SIZE = pytest.mark.mpi(ranks=(1, 2, 3, 4), timeout=120)
TWO = pytest.mark.mpi(ranks=2, timeout=120)
THREE = pytest.mark.mpi(ranks=3, timeout=120)

SIDES = {"left": (0, 0.0), "right": (0, 1.0), "bottom": (1, 0.0), "top": (1, 1.0)}
HALVES = {"soft": lambda x: x[0] <= 0.5 + 1e-9, "stiff": lambda x: x[0] >= 0.5 - 1e-9}


def at(side):
    axis, where = SIDES[side]
    return lambda x: np.isclose(x[axis], where)


def world():
    from pointlaw.fem.mpi import MPI

    return MPI.COMM_WORLD


def alone():
    from pointlaw.fem.mpi import MPI

    return MPI.COMM_SELF


def halves(mesh):
    """Return the unit body with its two halves named."""
    import dolfinx

    from pointlaw.fem import TaggedMesh

    dim = mesh.topology.dim
    count = mesh.topology.index_map(dim).size_local + mesh.topology.index_map(dim).num_ghosts
    values = np.zeros(count, dtype=np.int32)
    for tag, marker in enumerate(HALVES.values(), start=1):
        values[dolfinx.mesh.locate_entities(mesh, dim, marker)] = tag
    tags = dolfinx.mesh.meshtags(mesh, dim, np.arange(count, dtype=np.int32), values)
    return TaggedMesh(mesh, tags, None, {name: (dim, tag) for tag, name in enumerate(HALVES, start=1)})


def laws():
    from pointlaw.materials import J2

    soft = J2(E=1000.0, nu=0.3, yield_stress=2.0, H=20.0)
    return soft, J2(E=3000.0, nu=0.25, yield_stress=5.0, Q=3.0, b=30.0)


def plate(comm, n=4, **options):
    """Return a square of two plastic halves that is pulled and sheared."""
    import dolfinx

    from pointlaw.fem import BodyForce, Displacement, MechanicsProblem, Traction
    from pointlaw.materials import PlaneStrain

    mesh = dolfinx.mesh.create_unit_square(comm, n, n, dolfinx.mesh.CellType.quadrilateral)
    supports = [
        Displacement(at("left"), x=0.0, y=0.0),
        Displacement(at("right"), x=lambda t: 0.006 * t, y=lambda x, t: 0.002 * t * x[1]),
    ]
    loads = [Traction(at("top"), (0.0, lambda t: 0.2 * t)), BodyForce((0.1, 0.0))]
    materials = dict(zip(HALVES, map(PlaneStrain, laws()), strict=True)) if n > 1 else PlaneStrain(laws()[0])
    body = halves(mesh) if n > 1 else mesh
    return MechanicsProblem(body, materials, **({"supports": supports, "loads": loads, "rtol": 1e-12} | options))


def block(comm):
    """Return a cube of hexahedra for the iterative solver."""
    import dolfinx

    from pointlaw.fem import Displacement, MechanicsProblem

    mesh = dolfinx.mesh.create_unit_cube(comm, 3, 3, 3, dolfinx.mesh.CellType.hexahedron)
    supports = [
        Displacement(at("left"), x=0.0, y=0.0, z=0.0),
        Displacement(at("right"), x=lambda t: 0.004 * t, y=lambda t: 0.003 * t),
    ]
    options = {"ksp_rtol": 1e-12}
    return MechanicsProblem(mesh, laws()[0], supports=supports, solver="iterative", petsc_options=options, rtol=1e-12)


def nodes(problem):
    """Return displacements ``[n, dim]`` of all nodes in the order of their places; on rank 0, else ``None``."""
    V, dim = problem.V, problem.body.mesh.geometry.dim
    owned = V.dofmap.index_map.size_local
    x = V.tabulate_dof_coordinates()[:owned]
    parts = problem.comm.gather((x, problem.u.x.array.reshape(-1, dim)[:owned]))
    if parts is None:
        return None
    x, u = (np.concatenate(part) for part in zip(*parts, strict=True))
    return u[np.lexsort(np.round(x, 9).T)]


def points(problem):
    """Return the places and states of all points, in the order of their places; on rank 0, else ``None``."""
    rows = []
    for region in problem.regions.values():
        x = region.coordinates(np.arange(region.size))
        width = problem.regions[next(iter(problem.regions))].history.committed.shape[1]
        rows.append((x, region.history.committed[:, :width], region.committed[0]))
    parts = problem.comm.gather([np.concatenate(column) for column in zip(*rows, strict=True)])
    if parts is None:
        return None
    x, state, stress = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort(np.round(x, 9).T)
    return np.hstack([state[order], stress[order]])


def run(problem, times=(0.3, 0.7, 1.0)):
    from pointlaw.fem import ForceTable, march

    table = ForceTable(at("right"))
    solution = march(problem, list(times), observers=[table])
    return np.array(table.force), solution


@EVERY_SIZE
def test_any_number_of_ranks_agrees_with_one():
    for build in (plate, block):  # two regions and a direct solver; one region and an iterative one
        together = build(world())
        force, solution = run(together)
        u, state = nodes(together), points(together)
        updates = {region.history.updates for region in together.regions.values()}
        assert updates == {len(solution.times)}
        if world().rank == 0:
            single = build(alone())
            expected, _ = run(single)
            np.testing.assert_allclose(force, expected, atol=1e-9 * np.abs(expected).max())
            reference = nodes(single)
            np.testing.assert_allclose(u, reference, atol=1e-9 * np.abs(reference).max())
            reference = points(single)
            np.testing.assert_allclose(state, reference, atol=1e-8 * np.abs(reference).max())


@pytest.mark.mpi(ranks=4, timeout=120)
def test_more_ranks_than_cells_work_with_all_observers(shared_path):
    from pointlaw.fem import Checkpoint, ForceTable, Paraview, load_checkpoint, march

    problem = plate(world(), n=1)
    assert min(world().allgather(problem.regions["body"].size)) == 0
    table = ForceTable(at("right"), shared_path / "force.csv")
    watchers = [table, Paraview(shared_path / "run.pvd", state=["plastic_strain"]), Checkpoint(shared_path / "save")]
    march(problem, [0.5, 1.0], observers=watchers)
    again = plate(world(), n=1)
    load_checkpoint(shared_path / "save", again)
    np.testing.assert_array_equal(again.u.x.array, problem.u.x.array)
    if world().rank == 0:
        single = plate(alone(), n=1)
        force, _ = run(single, (0.5, 1.0))
        np.testing.assert_allclose(table.force, force, atol=1e-9)


@THREE
def test_a_checkpoint_is_read_by_another_number_of_ranks(shared_path):
    from pointlaw.fem import load_checkpoint, march, save_checkpoint

    many = plate(world())
    march(many, [0.5])
    save_checkpoint(shared_path / "many", many)
    state, u = points(many), nodes(many)
    if world().rank == 0:
        single = plate(alone())
        load_checkpoint(shared_path / "many", single)
        assert single.time == 0.5
        np.testing.assert_array_equal(nodes(single), u)
        np.testing.assert_array_equal(points(single), state)
        save_checkpoint(shared_path / "one", single)
    world().Barrier()
    back = plate(world())
    load_checkpoint(shared_path / "one", back)
    march(back, [1.0])
    march(many, [1.0])
    np.testing.assert_allclose(back.u.x.array, many.u.x.array, atol=1e-12)
    assert {region.history.updates for region in back.regions.values()} == {2}


@THREE
def test_checkpoints_of_cracks_and_of_edge_nodes_are_read_by_another_number_of_ranks(shared_path):
    from fem_bodies import slit_plate, square

    from pointlaw.fem import Displacement, MechanicsProblem, load_checkpoint, march, save_checkpoint
    from pointlaw.materials import PlaneStrain

    def bodies(comm):
        yield slit_plate(comm=comm), 1
        yield square(3, "triangle", comm=comm), 2
        yield square(3, "triangle", comm=comm), 3  # the order of the two nodes on an edge depends on the partition

    def problem(body, degree):
        supports = [Displacement(at("bottom"), x=0.0, y=0.0), Displacement(at("top"), x=lambda t: 0.004 * t, y=0.003)]
        return MechanicsProblem(body, PlaneStrain(laws()[0]), supports=supports, degree=degree)

    for number, (together, single) in enumerate(zip(bodies(world()), bodies(alone()), strict=True)):
        many, one, back = problem(*together), problem(*single), problem(*together)
        march(many, [0.5])
        save_checkpoint(shared_path / f"many{number}", many)
        if world().rank == 0:
            load_checkpoint(shared_path / f"many{number}", one)
            assert (
                one.solve(0.5, 1.0).norms[0] < 1e-6
            )  # the displacements found the places where they are in equilibrium
            one.reject()
            save_checkpoint(shared_path / f"one{number}", one)
        world().Barrier()
        load_checkpoint(shared_path / f"one{number}", back)
        np.testing.assert_array_equal(back.u.x.array, many.u.x.array)


@TWO
def test_a_path_goes_on_on_another_number_of_ranks(shared_path):
    from pointlaw.fem import (
        ArcLength,
        Displacement,
        MechanicsProblem,
        Traction,
        load_checkpoint,
        march,
        save_checkpoint,
    )
    from pointlaw.materials import PlaneStrain

    def path(comm):
        import dolfinx

        mesh = dolfinx.mesh.create_unit_square(comm, 4, 4, dolfinx.mesh.CellType.quadrilateral)
        supports = [Displacement(at("left"), x=0.0, y=0.0)]
        loads = [Traction(at("right"), (0.0, lambda t: t))]
        return ArcLength(MechanicsProblem(mesh, PlaneStrain(laws()[0]), supports=supports, loads=loads))

    many, single = path(world()), path(alone())
    march(many, [0.001, 0.002])
    save_checkpoint(shared_path, many)
    march(many, [0.003])
    if world().rank == 0:
        load_checkpoint(shared_path, single)
        march(single, [0.003])
        assert single.load == pytest.approx(many.load, rel=1e-9)
        save_checkpoint(shared_path / "one", single)
    world().Barrier()
    back = path(world())
    load_checkpoint(shared_path / "one", back)
    assert back.load == pytest.approx(many.load, rel=1e-9)
    np.testing.assert_allclose(back.direction, many.direction, atol=1e-9 * np.abs(many.direction).max())


@pytest.mark.mpi(ranks=(2, 3), timeout=120)
def test_all_ranks_know_the_same_round_off():
    import dolfinx

    from pointlaw.fem import Displacement, MechanicsProblem
    from pointlaw.materials import LinearElastic, PlaneStrain

    mesh = dolfinx.mesh.create_unit_square(world(), 6, 6, dolfinx.mesh.CellType.quadrilateral)
    shift = [Displacement(at(side), x=0.03, y=-0.017) for side in ("left", "right")]
    problem = MechanicsProblem(mesh, PlaneStrain(LinearElastic(E=210e9, nu=0.3)), supports=shift)
    report = problem.solve(1.0, 1.0)
    assert report.converged
    assert report.iterations == 1
    assert len(set(world().allgather(problem.newton.tolerance()))) == 1


@TWO
def test_a_checkpoint_that_one_rank_cannot_read_is_refused_by_all(shared_path):
    from pointlaw.errors import InputError
    from pointlaw.fem import load_checkpoint, march, save_checkpoint

    problem = plate(world())
    march(problem, [0.5])
    save_checkpoint(shared_path, problem)
    if world().rank == 0:
        shard = shared_path / "t0.5.rank1.h5"
        shard.write_bytes(shard.read_bytes()[:1000])
    world().Barrier()
    fresh = plate(world())
    with pytest.raises(InputError, match="holds no complete checkpoint"):
        load_checkpoint(shared_path, fresh)
    assert fresh.time == 0.0


@TWO
def test_a_checkpoint_of_another_law_is_refused_by_all_ranks(shared_path):
    from pointlaw.errors import InputError
    from pointlaw.fem import load_checkpoint, march, save_checkpoint
    from pointlaw.materials import Scaled

    problem = plate(world())
    march(problem, [0.5])
    save_checkpoint(shared_path, problem)
    fresh = plate(world())
    if world().rank == 1:  # the law of one rank alone
        fresh.regions["stiff"].material = Scaled(fresh.regions["stiff"].material, 1.0)
    with pytest.raises(
        InputError, match=r"region 'stiff' was written by PlaneStrain\(J2\), .* is Scaled\(PlaneStrain\(J2\)\); "
    ):
        load_checkpoint(shared_path, fresh)
    assert fresh.time == 0.0


@pytest.mark.mpi(ranks=(2, 3), timeout=120)
def test_a_point_is_the_same_node_on_every_number_of_ranks():
    from pointlaw.fem import Displacement, Point

    for place in (Point(0.26, 0.52, tolerance=0.3), Point(0.5, 0.625, tolerance=0.3)):  # the second between two nodes
        supports = [Displacement(place, x=0.0), Displacement(at("left"), x=0.0, y=0.0)]
        problem = plate(world(), supports=supports)
        dofs, owned = problem.supports.bcs[0].dof_indices()
        x = problem.V.tabulate_dof_coordinates()[dofs[:owned] // 2, :2]
        found = np.concatenate(world().allgather(x))
        expected = [[0.25, 0.5]] if place.x == 0.26 else [[0.5, 0.5]]
        np.testing.assert_allclose(found, expected, atol=1e-12)


class Ill:
    """Mixed into a law: one point of one rank answers NaN in chosen calls, without saying that it failed."""

    @staticmethod
    def of(law, sick, call):
        from pointlaw.materials import Material, Response

        class IllLaw(Material):
            kinematics, state_layout, symmetric = law.kinematics, law.state_layout, law.symmetric
            calls = 0

            def initial_state(self, points):
                return law.initial_state(points)

            def update(self, strain, state, dt, *, tangent=True):
                self.calls += 1
                answer = law.update(strain, state, dt, tangent=tangent)
                if sick and call(self.calls) and len(strain):
                    answer.stress[len(strain) // 2, 0] = np.nan
                    return Response(answer.stress, answer.tangent, answer.state)
                return answer

        return IllLaw()


@pytest.mark.mpi(ranks=(2, 3), timeout=120)
def test_one_nan_on_one_rank_lets_all_ranks_cut_once_and_finish(ranks):
    from pointlaw.fem import march
    from pointlaw.fem.observe import Observer
    from pointlaw.materials import PlaneStrain

    heard, call = [], {2: 2, 3: 7}[ranks]  # at a trial of the first step, and in a later step

    class Ear(Observer):
        def rejected(self, problem, report, next_dt):
            heard.append((report.reason, report.failed_points, report.detail, next_dt))

    law = Ill.of(PlaneStrain(laws()[0]), world().rank == world().size - 1, lambda n: n == call)
    problem = whole_plate(world(), law)
    solution = march(problem, [0.5, 1.0], observers=[Ear()])
    assert solution.finished
    assert solution.stats.cuts == 1
    assert len(set(world().allgather(tuple(heard)))) == 1  # all ranks heard the same
    assert heard[0][:2] == ("MATERIAL_FAILED", 1)
    assert heard[0][2].startswith("IllLaw failed at 1 point(s) of region 'body', the first near x = (")
    assert solution.stats.steps == problem.regions["body"].history.updates == len(solution.times)
    if world().rank == 0:
        well = whole_plate(alone(), PlaneStrain(laws()[0]))
        march(well, solution.times)
        expected = nodes(well)
    u = nodes(problem)
    if world().rank == 0:
        np.testing.assert_allclose(u, expected, atol=1e-9 * np.abs(expected).max())


def whole_plate(comm, law):
    import dolfinx

    from pointlaw.fem import Displacement, MechanicsProblem

    mesh = dolfinx.mesh.create_unit_square(comm, 4, 4, dolfinx.mesh.CellType.quadrilateral)
    supports = [Displacement(at("left"), x=0.0, y=0.0), Displacement(at("right"), x=lambda t: 0.006 * t)]
    return MechanicsProblem(mesh, law, supports=supports, rtol=1e-12)


@TWO
def test_the_smallest_factor_of_any_rank_decides_the_next_step():
    from pointlaw.fem import StepController, march
    from pointlaw.materials import Material, PlaneStrain

    inner = PlaneStrain(laws()[0])
    rank = world().rank

    class Anxious(Material):
        kinematics, state_layout = inner.kinematics, inner.state_layout

        def update(self, strain, state, dt, *, tangent=True):
            answer = inner.update(strain, state, dt, tangent=tangent)
            if rank == 1 and dt > 0.25:
                answer.dt_factor = 0.25 / dt
            return answer

    solution = march(whole_plate(world(), Anxious()), [1.0], StepController(grow=1.0))
    np.testing.assert_allclose(solution.times, [0.25, 0.5, 0.75, 1.0])
    assert len(set(world().allgather(tuple(solution.times)))) == 1


@TWO
def test_the_wish_of_one_rank_to_stop_stops_all():
    from pointlaw.fem import Observer, Status, march
    from pointlaw.materials import PlaneStrain

    class Tired(Observer):
        def accepted(self, problem, report):
            return not (world().rank == 1 and report.time > 0.4)

    solution = march(whole_plate(world(), PlaneStrain(laws()[0])), [0.25, 0.5, 1.0], observers=[Tired()], strict=False)
    assert solution.status is Status.STOPPED
    assert solution.times == [0.25, 0.5]


@TWO
def test_a_problem_that_python_collects_on_one_rank_only_does_not_stop_the_others():
    import gc

    from pointlaw.fem import march

    for _ in range(3):
        problem = whole_plate(world(), plain())
        march(problem, [0.5])
        problem.itself = problem  # a cycle, as an exception with its frames is one
        del problem
        if world().rank == 1:
            gc.collect()
    assert march(whole_plate(world(), plain()), [0.5]).finished


# Set-up errors: before the first step, the same sentence on every rank ----------------------------------------------


def raised_everywhere(action, kind, word):
    with pytest.raises(kind, match=word) as caught:
        action()
    assert caught.value.collective
    assert len(set(world().allgather(str(caught.value)))) == 1


@TWO
def test_wrong_set_ups_are_refused_on_all_ranks_with_one_sentence(shared_path):
    from pointlaw.errors import InputError, MeshError, SetupError
    from pointlaw.fem import Displacement, Pressure, TaggedMesh, Traction, read_mesh

    everywhere = {
        "no supports": (lambda: plate(world(), supports=[]), SetupError, "free to move"),
        "no such facets": (
            lambda: plate(world(), loads=[Traction("nowhere", (1.0, 0.0))]),
            MeshError,
            "no facets tagged 'nowhere'; it has no tags",
        ),
        "empty place": (
            lambda: plate(world(), loads=[Pressure(far_away, 1.0)]),
            MeshError,
            "no facets at the place far",
        ),
        "no such support": (lambda: plate(world(), supports=[Displacement(77, x=0.0)]), MeshError, "tagged 77"),
        "a direction too many": (
            lambda: plate(world(), supports=[Displacement(at("left"), x=0.0, z=0.0)]),
            SetupError,
            "prescribes z",
        ),
        "a solid law": (lambda: whole_plate(world(), laws()[0]), SetupError, "does not fit a mesh of dimension 2"),
        "a body across its axis": (lambda: across_the_axis(world()), MeshError, r"reaches r = -0\.25"),
        "no file": (lambda: read_mesh(shared_path / "none.msh"), MeshError, "There is no mesh file"),
    }
    for action, kind, word in everywhere.values():
        raised_everywhere(action, kind, word)

    def bad_on_the_right(x, t):
        return np.where(x[0] > 0.9, np.nan, 0.0)

    bad = plate(world(), loads=[Traction(at("top"), (bad_on_the_right, 0.0))])
    raised_everywhere(lambda: bad.solve(1.0, 1.0), InputError, "Traction .* x at t = 1 has values that are not finite")

    body = plate(world()).body
    raised_everywhere(lambda: body.cells("granite"), MeshError, r"no cells tagged 'granite'; it has 'soft' \(1\)")
    inverted = whole_plate(world(), plain()).body.mesh
    x = inverted.geometry.x
    x[np.isclose(x[:, 0], 0.5) & np.isclose(x[:, 1], 0.5), 0] = 0.9
    raised_everywhere(TaggedMesh(inverted).check, MeshError, "cells that are degenerate, inverted or folded")


@TWO
def test_mesh_files_that_cannot_be_read_are_refused_on_all_ranks(shared_path):
    from pointlaw.errors import MeshError
    from pointlaw.fem import read_mesh

    if world().rank == 0:
        (shared_path / "a.msh").write_text("$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n4\n1 0 0")
        (shared_path / "a.vtu").write_text("<VTKFile")
        (shared_path / "a.xdmf").write_text("<Xdmf><Domain>")
    world().Barrier()
    for suffix in ("msh", "vtu", "xdmf"):
        raised_everywhere(lambda s=suffix: read_mesh(shared_path / f"a.{s}"), MeshError, rf"a\.{suffix}")


def across_the_axis(comm):
    """Return an axisymmetric body that begins to the left of its axis: only the rank that owns that side sees it."""
    import dolfinx

    from pointlaw.fem import Displacement, MechanicsProblem
    from pointlaw.materials import Axisymmetric

    mesh = dolfinx.mesh.create_rectangle(comm, [[-0.25, 0.0], [4.0, 1.0]], [17, 4])
    return MechanicsProblem(mesh, Axisymmetric(laws()[0]), supports=[Displacement(at("bottom"), y=0.0)])


def far_away(x):
    return x[0] > 50.0


def plain():
    from pointlaw.materials import PlaneStrain

    return PlaneStrain(laws()[0])
