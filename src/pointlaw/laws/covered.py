"""A learned law that carries the density of its training points, and says on its card what they cover."""

import numpy as np

from pointlaw.data import Dataset
from pointlaw.laws.card import Coverage
from pointlaw.laws.density import Density, grades_along
from pointlaw.laws.learned import LearnedMaterial


def with_density(law: LearnedMaterial, training: Dataset, kept_back: Dataset, **options: float) -> LearnedMaterial:
    """Return ``law`` with a density of its own, noted on its card; ``options`` as in :meth:`Density.fit`."""
    density = Density.fit(law, training, kept_back, **options)  # type: ignore[arg-type]
    grades = grades_along(law, kept_back, density)
    coverage = Coverage(
        centres=len(density.centres),
        axes=density.axes.shape[1],
        longest_step=float(density.step[0]) if np.isfinite(density.step[0]) else None,
        beyond=float(np.mean(grades > 1.0)),
        grade_median=float(np.median(grades)),
        grade_99=float(np.quantile(grades, 0.99)),
        kept_back_paths=kept_back.paths,
    )
    envelope = law.card.envelope.model_copy(update={"density": coverage})
    return LearnedMaterial(
        law.network, law.card.model_copy(update={"envelope": envelope}), block=law.block, density=density
    )
