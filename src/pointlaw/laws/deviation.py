"""How uncertain a law that is a Gaussian process is at given strains, in the unit of its stress.

The deviation is small near the observations and grows away from them, so it tells without any further data where the
law may be trusted; over the error that is allowed, it is a grade for :class:`~pointlaw.laws.guard.Guarded`.
"""

import numpy as np
import torch

from pointlaw.data import feature_map
from pointlaw.errors import InputError
from pointlaw.laws.learned import LearnedMaterial
from pointlaw.networks import GaussianProcess
from pointlaw.tensors import Array


def deviation(law: LearnedMaterial, strain: Array) -> Array:
    """Return the standard deviation ``[p, m]`` of each component of the stress at ``strain[p, m]``, unit of stress.

    Raises ``InputError`` when the law is no Gaussian process.

    Examples
    --------
    >>> grade = lambda strain, increment, state: np.linalg.norm(deviation(law, strain), axis=1) / 5.0  # MPa
    >>> Guarded(law, grade=grade, policy="warn")
    """
    network = law.network
    if not isinstance(network, GaussianProcess):
        raise InputError(f"The law '{law.card.name}' is a {type(network).__name__}; only a Gaussian process has one.")
    features = feature_map(law.card.features, law.card.scaling)
    x = torch.as_tensor(features.apply(strain, strain, np.zeros(len(strain))))
    with torch.no_grad():
        variance = network.variance(x.to(network.factor.dtype)).double().numpy()
    scaled: Array = law.card.scaling.undo(np.sqrt(variance))
    return scaled
