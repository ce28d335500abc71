"""What PETSc was built with is asked of PETSc, and agrees with what it can do."""

import pytest

pytestmark = pytest.mark.fem


@pytest.mark.parametrize("package", ["mumps", "superlu_dist"])
def test_a_direct_solver_that_is_listed_factorises_and_one_that_is_not_refuses(package):
    from mpi4py import MPI
    from petsc4py import PETSc

    from pointlaw.fem.capabilities import has_package

    matrix = PETSc.Mat().createAIJ((3, 3), nnz=1, comm=MPI.COMM_SELF)
    for i in range(3):
        matrix[i, i] = 2.0
    matrix.assemble()
    solver = PETSc.KSP().create(MPI.COMM_SELF)
    solver.setOperators(matrix)
    solver.setType("preonly")
    solver.getPC().setType("lu")
    solver.getPC().setFactorSolverType(package)
    b, x = matrix.createVecRight(), matrix.createVecLeft()
    b.set(4.0)
    if has_package(package):
        solver.solve(b, x)
        assert x.array.tolist() == [2.0, 2.0, 2.0]
    else:
        with pytest.raises(PETSc.Error):
            solver.solve(b, x)


def test_a_package_that_does_not_exist_is_not_there():
    from pointlaw.fem.capabilities import has_package

    assert not has_package("no_such_package")


def test_the_capabilities_name_versions_and_where_dolfinx_came_from():
    from pointlaw.fem.capabilities import PACKAGES, capabilities

    found = capabilities()
    assert found.real
    assert found.ranks == 1
    assert set(found.packages) <= set(PACKAGES)
    assert all(part.isdigit() for part in found.mpi_version.split("."))
    assert found.source
