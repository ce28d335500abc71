"""A learned law in finite elements: its tangent is the derivative of its stress, so Newton converges quadratically."""

from pointlaw.fem.mpi import MPI  # isort: skip

from pathlib import Path

import numpy as np
import pytest

from pointlaw.fem import Displacement, MechanicsProblem, march, read_mesh

pytest.importorskip("torch")
pytestmark = pytest.mark.fem

ROOT = Path(__file__).parents[2]
LAW = ROOT / "demos" / "laws" / "steel_lstm.safetensors"


@pytest.mark.skipif(not LAW.exists(), reason="the demo law is not there")
def test_newton_converges_quadratically_with_the_learned_law():
    from pointlaw.laws import load_law

    law = load_law(LAW)
    supports = [
        Displacement("left", x=0.0),
        Displacement("bottom", y=0.0),
        Displacement("right", x=lambda t: 0.03 * t),
    ]
    body = read_mesh(ROOT / "meshes" / "plate_with_hole.msh", MPI.COMM_SELF)
    problem = MechanicsProblem(body, law, supports=supports, rtol=1e-13)
    solution = march(problem, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert solution.stats.cuts == 0
    orders = []
    for report in solution.reports:
        # The first norm belongs to supports that have not moved yet, the last ones to rounding.
        above_rounding = [norm for norm in report.norms[1:] if norm > 2.0 * min(report.norms)]
        if len(above_rounding) >= 3:
            a, b, c = above_rounding[-3:]
            orders.append(np.log(c / b) / np.log(b / a))
    assert len(orders) >= 3
    assert np.median(orders) > 1.8, (orders, [report.norms for report in solution.reports])
    assert min(orders) > 1.6, (orders, [report.norms for report in solution.reports])
