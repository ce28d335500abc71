import numpy as np
import pytest

from pointlaw.data import Dataset, DatasetCard


@pytest.fixture
def dataset() -> Dataset:
    """Ten paths of four steps with every optional array."""
    rng = np.random.default_rng(0)
    strain = rng.normal(0, 0.01, (10, 5, 3))
    strain[:, 0] = 0.0
    return Dataset(
        time=np.linspace(0, 1, 5),
        strain=strain,
        stress=2e5 * strain,
        card=DatasetCard(kinematics="plane_strain", teacher="spring", seeds=[0], parameters={"E": 2e5}),
        tangent=np.tile(2e5 * np.eye(3), (10, 5, 1, 1)),
        energy=1e5 * (strain**2).sum(-1),
        dissipation=np.zeros((10, 5)),
    )
