"""How several errors become one objective.

``"fixed"`` adds them with their weights. ``"uncertainty"`` divides each by its own running mean first, so that a term
counts by how much *of itself* it can still lose, whatever its unit or difficulty: the weighting by homoscedastic
uncertainty of Kendall, Gal and Cipolla (2018, arXiv:1705.07115) for absolute errors, ``Σ L/b + log b``, with the
scales ``b`` not learned by gradient but kept at their optimum, ``b = L``. It needs one number a term and no further
backward pass, as GradNorm does.
"""

from typing import Literal

import torch
from torch import Tensor

_MEMORY = 0.98  # of the running means: about the last fifty batches
_WIDEST = 1e3  # no term is weighted up or down beyond this, or one that is met exactly would drown the others


class Balance:
    """Weights of the terms of an objective; ``means`` is what a checkpoint keeps.

    Parameters
    ----------
    weights : dict of float
        Importance of each term by its name; a term that is not named has weight 1.
    rule : "fixed" or "uncertainty"
        See the module.
    """

    def __init__(self, weights: dict[str, float], rule: Literal["fixed", "uncertainty"]):
        self.weights, self.rule = weights, rule
        self.means: dict[str, float] = {}

    def __call__(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the objective of one batch with these ``terms``; the running means move on."""
        if self.rule == "uncertainty":
            for name, term in terms.items():
                value = float(term.detach())
                if value < float("inf"):  # neither NaN nor infinite
                    self.means[name] = _MEMORY * self.means.get(name, value) + (1 - _MEMORY) * value
        return torch.stack([self.factor(name) * term for name, term in terms.items()]).sum()

    def factor(self, name: str) -> float:
        """Return the weight of the term ``name`` as it is now."""
        weight, mean, stress = self.weights.get(name, 1.0), self.means.get(name), self.means.get("stress")
        if mean is None or stress is None:
            return weight
        return weight * min(_WIDEST, max(1 / _WIDEST, stress / max(mean, 1e-300)))
