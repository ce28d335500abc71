"""The closed loop under mpirun, with a teacher that fails on all paths of one rank, or of all."""

import numpy as np
import pytest

pytest.importorskip("mpi4py")
from mpi4py import MPI

import torch

from pointlaw.data import load_dataset, sample
from pointlaw.errors import NoPathLeft
from pointlaw.laws import make_law
from pointlaw.laws.guard import Guarded
from pointlaw.materials import J2, PlaneStrain
from pointlaw.networks import GRU
from pointlaw.paths import StrainPath, drive, gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training import TrainConfig, fit
from pointlaw.training.active import Run, refine_until_inside

pytestmark = pytest.mark.fem

STEEL = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=5000.0))
CONFIG = TrainConfig(epochs=1, batch=16)


def paths(count, seed, bound):
    return gaussian_process(count, seed=seed, steps=3, bound=bound, kinematics=PLANE_STRAIN)


def teach(path):
    """Answer along paths within 5 % of strain; on the others the teacher fails."""
    good = np.abs(path.strain).max(axis=(1, 2)) < 0.05
    if not good.any():
        raise NoPathLeft("the teacher fails on this share")
    return sample(STEEL, StrainPath(path.times, path.strain[good], path.kinematics), tangent=False)


def loop(comm, folder, stretch):
    """One round; the points are dealt over the ranks."""

    def lead(guarded):
        record = drive(guarded, paths(12, 3, 0.01))
        return Run([np.array_split(record.state[:, -1], comm.size)[comm.rank]], record.ok)

    torch.manual_seed(0)
    training, kept_back = teach(paths(12, 1, 0.003)), teach(paths(6, 2, 0.003))
    report = fit(GRU(features=3, outputs=3, hidden=4), training, CONFIG)
    law = make_law(report.network, report.scaling, name="s", training=training, kept_back=kept_back)
    return refine_until_inside(
        law, training, kept_back, solve=lead, teacher=teach, folder=folder, config=CONFIG, rounds=1, paths=4,
        stretch=stretch, comm=comm,
        guard=lambda law: Guarded(law, policy="fall back", fallback=STEEL, history=4, limit=0.3),
    )  # fmt: skip


@pytest.mark.mpi(ranks=2)
def test_a_rank_without_an_answer_leaves_the_round_to_the_other(shared_path):
    together = loop(MPI.COMM_WORLD, shared_path / "together", (1.0, 10.0))  # rank 1 gets all that is stretched
    assert together.rounds[0].added == 4
    if MPI.COMM_WORLD.rank == 0:
        alone = loop(MPI.COMM_SELF, shared_path / "alone", (1.0, 10.0))
        assert together.law.card.probe == alone.law.card.probe
        data = [load_dataset(shared_path / folder / "round_1.h5").sha256 for folder in ("together", "alone")]
        assert data[0] == data[1]


@pytest.mark.mpi(ranks=2)
def test_a_round_without_any_answer_ends_all_ranks_with_one_sentence(shared_path):
    with pytest.raises(NoPathLeft, match="The teacher fails on all 8 paths of the round") as caught:
        loop(MPI.COMM_WORLD, shared_path, (10.0, 20.0))
    assert caught.value.collective
