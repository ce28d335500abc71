"""Volume elements on meshes read from files, made elsewhere."""

from pointlaw.fem import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.fem.mesh_files import read_mesh
from pointlaw.materials import LinearElastic, PlaneStrain
from pointlaw.rve import RVEMaterial, homogenise, lattice_inclusions
from pointlaw.rve.sample_file import read_sample_file

pytestmark = pytest.mark.fem
SOFT, HARD = LinearElastic(200.0, 0.3), LinearElastic(400.0, 0.2)

CONFIG = """
output = "out"
[teacher]
mesh = "cell.xdmf"
[teacher.phases.1]
law = "LinearElastic"
parameters = { E = 200.0, nu = 0.3 }
reduce = "PlaneStrain"
[teacher.phases.2]
law = "LinearElastic"
parameters = { E = 400.0, nu = 0.2 }
reduce = "PlaneStrain"
[plan]
kind = "proportional"
paths = 1
steps = 1
bound = 0.01
"""


def test_a_mesh_written_and_read_is_the_same_volume_element_and_may_be_named_in_a_sampling_file(tmp_path):
    made = lattice_inclusions("square", 0.3).mesh(6)
    with dolfinx.io.XDMFFile(MPI.COMM_SELF, tmp_path / "cell.xdmf", "w") as file:
        file.write_mesh(made.mesh)
        file.write_meshtags(made.cell_tags, made.mesh.geometry)
    (tmp_path / "config.toml").write_text(CONFIG)
    _, _, teacher = read_sample_file(tmp_path / "config.toml")
    read = teacher()
    own = homogenise(RVEMaterial(made, {1: PlaneStrain(SOFT), 2: PlaneStrain(HARD)}))
    np.testing.assert_allclose(homogenise(read), own, atol=1e-12 * own.max())
    assert "cell.xdmf" in read.element.body.source


def test_a_laminate_drawn_in_gmsh_has_the_stiffness_of_the_closed_form(tmp_path):
    gmsh = pytest.importorskip("gmsh")
    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        occ = gmsh.model.occ
        layers = [occ.addRectangle(x, 0.0, 0.0, width, 1.0) for x, width in ((0.0, 0.3), (0.3, 0.7))]
        occ.fragment([(2, layers[0])], [(2, layers[1])])
        occ.synchronize()
        for number, name in enumerate(("soft", "hard"), start=1):
            gmsh.model.addPhysicalGroup(2, [layers[number - 1]], number, name)
        gmsh.option.setNumber("Mesh.MeshSizeMax", 0.25)
        gmsh.model.mesh.generate(2)
        gmsh.write(str(tmp_path / "laminate.msh"))
    finally:
        gmsh.finalize()
    mesh = read_mesh(tmp_path / "laminate.msh", MPI.COMM_SELF)
    stiffness = homogenise(RVEMaterial(mesh, {"soft": PlaneStrain(SOFT), "hard": PlaneStrain(HARD)}, tolerance=1e-12))
    # Layers in series across the first axis (Backus 1962, doi 10.1029/JZ067i011p04427).
    for k, entry in ((0, stiffness[0, 0]), (5, stiffness[2, 2])):
        across = 1.0 / (0.3 / SOFT.stiffness[k, k] + 0.7 / HARD.stiffness[k, k])
        assert entry == pytest.approx(across, rel=1e-11)
