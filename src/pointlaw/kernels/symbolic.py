"""The symbolic Cholesky factorisation: which blocks the factor has, and where each of them lies in memory.

Neighbouring columns with nearly the same rows form a *supernode*, whose part of the factor is one dense panel. For
every panel the places that its update goes to are written down once, so that the numerical factorisation is a stream
of dense tiles and looks nothing up. Rows and columns here are nodes; a node has as many scalar rows as unknowns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]


def column_structure(graph: Sequence[set[int]], order: NDArray[np.intp]) -> list[list[int]]:
    """Return for each eliminated column the rows below its diagonal, sorted, in the numbering of the elimination."""
    n = len(graph)
    position = np.empty(n, dtype=np.intp)
    position[order] = np.arange(n)
    columns: list[set[int]] = []
    children: list[list[int]] = [[] for _ in range(n)]
    for k, vertex in enumerate(order):
        rows = {int(position[other]) for other in graph[vertex] if position[other] > k}
        rows.update(*(columns[child] for child in children[k]))
        rows.discard(k)
        columns.append(rows)
        if rows:
            children[min(rows)].append(k)
    return [sorted(rows) for rows in columns]


def postordered(graph: Sequence[set[int]], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return an order with the same factor in which the columns of a supernode are neighbours.

    The elimination tree is walked children first (Liu 1990, doi 10.1137/0611010).
    """
    columns = column_structure(graph, order)
    children: list[list[int]] = [[] for _ in range(len(columns) + 1)]
    for k, rows in enumerate(columns):
        children[rows[0] if rows else len(columns)].append(k)
    walk: list[int] = []
    stack = children[-1][:]
    while stack:  # parents first, then turned round
        k = stack.pop()
        walk.append(k)
        stack += sorted(children[k], key=lambda child: len(columns[child]))
    return order[np.array(walk[::-1], dtype=np.intp)]


@dataclass(frozen=True)
class Panels:
    """The factor as dense panels; a panel has ``2·(width + below)`` rows of ``2·width`` numbers, row after row.

    Attributes
    ----------
    first, width, below : [s]
        First column of each supernode, its number of columns, and of rows below its diagonal part; in nodes.
    start : [s]
        Where the panel begins, in numbers.
    rows : [Σ below]
        The rows below, one supernode after the other.
    target : [Σ below·(below + 1)/2]
        For each pair of rows below, column by column of their lower triangle, where the block begins that the
        supernode's update of this pair is subtracted from.
    stride : [Σ below]
        Length of a row of the panel which the column ``rows`` belongs to.
    size : int
        Numbers in all panels.
    panel_of : [n]
        Supernode of each column.
    """

    first: Integers
    width: Integers
    below: Integers
    start: Integers
    rows: Integers
    target: Integers
    stride: Integers
    size: int
    panel_of: Integers

    def block(self, row: int, column: int) -> int:
        """Return where the block of two nodes, ``row >= column`` in the order of elimination, begins."""
        s = int(self.panel_of[column])
        first, width = int(self.first[s]), int(self.width[s])
        begin = int(self.below[:s].sum()) if row >= first + width else 0
        if row < first + width:
            place = row - first
        else:
            rows = self.rows[begin : begin + int(self.below[s])]
            place = width + int(np.searchsorted(rows, row))
        return int(self.start[s]) + 4 * place * width + 2 * (column - first)


def panels(columns: list[list[int]], *, slack: float = 0.15) -> Panels:
    """Return the panels of a factor whose columns have these rows.

    A column joins the supernode before it if that makes the panel at most ``slack`` larger than what is in it: some
    zeros are cheaper than short rows.
    """
    groups = _supernodes(columns, slack)
    first = np.array([columns_of[0] for columns_of, _ in groups])
    width = np.array([len(columns_of) for columns_of, _ in groups])
    below = np.array([len(rows) for _, rows in groups])
    sizes = 4 * (width + below) * width
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    panel_of = np.repeat(np.arange(len(groups)), width)
    targets: list[NDArray[np.intp]] = []
    for _, below_rows in groups:
        rows = np.array(below_rows, dtype=np.intp)
        for j, column in enumerate(below_rows):
            s = panel_of[column]
            own = np.array(groups[s][1], dtype=np.intp)
            inside = rows[j:] < first[s] + width[s]
            place = np.where(inside, rows[j:] - first[s], width[s] + np.searchsorted(own, rows[j:]))
            targets.append(start[s] + 4 * place * width[s] + 2 * (column - first[s]))
    every = np.concatenate([np.array(rows, dtype=np.intp) for _, rows in groups])
    return Panels(
        first=_int(first),
        width=_int(width),
        below=_int(below),
        start=_int(start),
        rows=_int(every),
        target=_int(np.concatenate([*targets, np.zeros(0)])),
        stride=_int(2 * width[panel_of[every]]),
        size=int(sizes.sum()),
        panel_of=_int(panel_of),
    )


def _supernodes(columns: list[list[int]], slack: float) -> list[tuple[list[int], list[int]]]:
    """Return columns and rows below of every supernode."""
    groups: list[tuple[list[int], list[int]]] = []
    filled = 0
    for k, rows in enumerate(columns):
        if groups:
            members, below = groups[-1]
            together = sorted((set(below) | set(rows)) - {k})
            size = (len(members) + 1) * (len(members) + 1 + len(together))
            # Only a chain of the elimination tree may join: column k must be the first row below the group.
            upper = len(members) * (len(members) + 1) / 2  # the unused half of the square on the diagonal
            if below and below[0] == k and size <= (1.0 + slack) * (filled + 1 + len(rows)) + upper:
                groups[-1] = ([*members, k], together)
                filled += 1 + len(rows)
                continue
        groups.append(([k], rows))
        filled = 1 + len(rows)
    return groups


def _int(values: NDArray[np.intp] | NDArray[np.float64]) -> Integers:
    return np.ascontiguousarray(values, dtype=np.int32)
