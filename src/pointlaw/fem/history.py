"""What a region remembers: the committed state, and the trial state of the step that is being tried.

The two buffers are swapped on commit, never copied. Nothing can reach the committed state but a commit.
"""

from dataclasses import dataclass, field

import numpy as np

from pointlaw.tensors import Array


@dataclass
class History:
    """Internal variables of ``p`` points, held by the rank that owns their cells.

    Attributes
    ----------
    committed : [p, s]
        State at the end of the last accepted step.
    trial : [p, s]
        State that the law answered in the step under way; meaningless between steps.
    updates : int
        Number of accepted steps.
    """

    committed: Array
    trial: Array = field(init=False)
    updates: int = 0

    def __post_init__(self) -> None:
        self.trial = np.empty_like(self.committed)

    def commit(self) -> None:
        """Make the trial state the committed one."""
        self.committed, self.trial = self.trial, self.committed
        self.updates += 1
