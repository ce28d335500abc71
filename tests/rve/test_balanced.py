"""How points are dealt over ranks, without any ranks."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.fem import MPI
from pointlaw.laws import Guarded
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.rve import Balanced, RVEMaterial, lattice_inclusions
from pointlaw.rve.balanced import deal
from pointlaw.testing import check_material

pytestmark = pytest.mark.fem


def loads(efforts, goes):
    total = np.zeros(len(efforts))
    for effort, where in zip(efforts, goes, strict=True):
        np.add.at(total, where, effort)
    return total


@pytest.mark.parametrize("seed", range(5))
def test_no_rank_has_more_than_the_mean_and_one_point(seed):
    random = np.random.default_rng(seed)
    efforts = [random.integers(1, 9, size=random.integers(0, 60)).astype(float) for _ in range(5)]
    after = loads(efforts, deal(efforts))
    assert after.sum() == sum(effort.sum() for effort in efforts)
    assert after.max() <= after.mean() + max(effort.max(initial=0.0) for effort in efforts)


def test_a_rank_without_points_of_its_own_gets_some():
    efforts = [np.ones(8), np.zeros(0)]
    assert loads(efforts, deal(efforts)).tolist() == [4.0, 4.0]


def test_points_of_balanced_ranks_stay_at_home():
    for efforts in ([np.ones(8), np.ones(9)], [np.array([4.0, 1.0]), np.array([3.0, 2.0])]):
        goes = deal(efforts)
        assert [where.tolist() for where in goes] == [[rank] * len(e) for rank, e in enumerate(efforts)]


def test_expensive_points_are_spread_one_by_one():
    efforts = [np.full(3, 10.0), np.zeros(0), np.ones(3)]
    assert sorted(loads(efforts, deal(efforts)).tolist()) == [10.0, 10.0, 13.0]


def test_a_balanced_volume_element_keeps_the_contract_of_a_material():
    law = RVEMaterial(lattice_inclusions("square", 0.3).mesh(2), PlaneStrain(J2(200.0, 0.3, 0.25, H=2.0)))
    check_material(Balanced(law, MPI.COMM_SELF), points=2, steps=1, halvings=4).raise_if_failed()


def test_a_law_is_balanced_once():
    law = Balanced(PlaneStrain(J2(200.0, 0.3, 0.25, H=2.0)), MPI.COMM_SELF)
    with pytest.raises(InputError, match="dealt over the ranks already"):
        Balanced(law, MPI.COMM_SELF)


def test_a_dealt_law_is_no_phase_of_a_volume_element():
    law = Balanced(PlaneStrain(J2(200.0, 0.3, 0.25, H=2.0)), MPI.COMM_SELF)
    with pytest.raises(InputError, match=r"write Balanced\(RVEMaterial\(mesh, law\)\)"):
        RVEMaterial(lattice_inclusions("square", 0.3).mesh(2), law)


def test_a_dealt_guard_deals_by_what_its_fallback_costs():
    rve = RVEMaterial(lattice_inclusions("square", 0.3).mesh(2), PlaneStrain(J2(200.0, 0.3, 0.25, H=2.0)))
    far = lambda strain, increment, state: np.where(strain[:, 0] > 0.001, 2.0, 0.5)  # noqa: E731
    guarded = Guarded(PlaneStrain(LinearElastic(200.0, 0.3)), policy="fall back", fallback=rve, grade=far)
    strain = np.array([[0.0, 0.0, 0.0], [0.002, 0.0, 0.0], [0.0, 0.001, 0.0]])
    state = guarded.update(strain, guarded.initial_state(3), 1.0).state
    assert guarded.effort.tolist() == [1.0, 1.0, 1.0]
    guarded.update(1.1 * strain, state, 1.0)
    assert guarded.effort[1] >= 100.0
    assert guarded.effort[[0, 2]].tolist() == [1.0, 1.0]
