"""Train the members of a deep ensemble: the same data, other first weights, another order of the paths."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pointlaw.data import Dataset
from pointlaw.laws import check_apart, make_law
from pointlaw.laws.covered import with_density
from pointlaw.laws.ensemble import Ensemble, calibrated
from pointlaw.networks import Network
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import fit


def fit_ensemble(
    network: Callable[[], Network],
    training: Dataset,
    kept_back: Dataset,
    config: TrainConfig | None = None,
    *,
    name: str,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    validation: Dataset | None = None,
    beyond: float = 0.01,
    checkpoint: str | Path | None = None,
    callback: Callable[[int, Any], Any] | None = None,
) -> Ensemble:
    """Return an ensemble of one law a seed, calibrated on ``kept_back``.

    Parameters
    ----------
    network : callable
        Makes a fresh network; called after ``torch.manual_seed(seed)``.
    training, kept_back, validation : Dataset
        As in :func:`fit` and ``make_law``. Without ``validation`` each member splits off another part.
    config : TrainConfig, optional
        Settings; the seed of each member takes the place of its seed.
    name : str
        The members are called ``name #seed``.
    seeds : sequence of int
        One a member, two or more.
    beyond : float
        Share of the kept-back points that may have a grade above 1, by density and by spread.
    checkpoint : path, optional
        Folder with one checkpoint a member, as in :func:`fit`: members that are trained are only measured again, and
        more ``seeds`` may be added to them.
    callback : callable, optional
        Called with the seed and each epoch, as in :func:`fit`.

    Notes
    -----
    Raises ``InputError`` when there are fewer than two seeds, or a checkpoint is of another run.
    """
    config = config or TrainConfig()
    check_apart(training, kept_back, config.features)
    laws = []
    for seed in seeds:
        torch.manual_seed(seed)
        own = config.model_copy(update={"seed": seed})
        told = None if callback is None else lambda epoch, seed=seed: callback(seed, epoch)
        path = None if checkpoint is None else Path(checkpoint) / f"member_{seed}.pt"
        report = fit(network(), training, own, validation=validation, checkpoint=path, callback=told)
        law = make_law(
            report.network,
            report.scaling,
            name=f"{name} #{seed}",
            training=training,
            kept_back=kept_back,
            features=own.features,
            seed=seed,
            settings=own.record(),
        )
        laws.append(with_density(law, training, kept_back, beyond=beyond, seed=seed))
    return calibrated(Ensemble(laws), kept_back, beyond=beyond)
