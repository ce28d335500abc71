"""In which order a sparse symmetric matrix is eliminated so that its factor stays sparse.

Two classical orders are made, minimum degree and geometric nested dissection, and the one with less work is taken:
which of them wins depends on the mesh, and the choice is made once for thousands of factorisations.
"""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pointlaw.kernels.symbolic import column_structure, postordered
from pointlaw.tensors import Array

Graph = Sequence[set[int]]
Order = NDArray[np.intp]
LEAF = 6


def best_order(graph: Graph, places: Array) -> Order:
    """Return the order ``[n]`` of elimination (position -> vertex) with the least work of the two.

    Parameters
    ----------
    graph : sequence of sets
        Neighbours of each vertex, without itself.
    places : [n, d]
        Coordinates of the vertices, for the dissection.
    """
    orders = [minimum_degree(graph), nested_dissection(graph, places)]
    return postordered(graph, min(orders, key=lambda order: work(graph, order)))


def work(graph: Graph, order: Order) -> int:
    """Return the number of block multiplications of a Cholesky factorisation in this order."""
    sizes = np.array([len(rows) for rows in column_structure(graph, order)])
    return int((sizes * (sizes + 1) // 2).sum())


def minimum_degree(graph: Graph) -> Order:
    """Eliminate the vertex with the fewest neighbours first, ties by number.

    George & Liu 1989, doi 10.1137/1031001, tell its history; this is the plain form on the elimination graph, fast
    enough for the few thousand nodes that direct batched factorisation is meant for.
    """
    left = [set(neighbours) for neighbours in graph]
    queue = [(len(neighbours), vertex) for vertex, neighbours in enumerate(left)]
    heapq.heapify(queue)
    gone, order = np.zeros(len(graph), dtype=bool), []
    while queue:
        degree, vertex = heapq.heappop(queue)
        if gone[vertex] or degree != len(left[vertex]):
            continue
        gone[vertex] = True
        order.append(vertex)
        clique = left[vertex]
        for other in clique:
            left[other] |= clique
            left[other] -= {other, vertex}
            heapq.heappush(queue, (len(left[other]), other))
    return np.array(order, dtype=np.intp)


def nested_dissection(graph: Graph, places: Array) -> Order:
    """Cut the vertices in two halves by a coordinate, order the halves likewise, and the vertices between them last.

    George 1973, doi 10.1137/0710032. On a periodic cell the vertices between the halves lie along two lines.
    """

    def dissect(vertices: Order) -> list[int]:
        if len(vertices) <= LEAF:
            return _inner(graph, vertices)
        extent = np.ptp(places[vertices], axis=0)
        best: tuple[Order, Order, Order] | None = None
        for axis in np.argsort(-extent)[: 2 if extent.min() > 0.7 * extent.max() else 1]:
            ranked = vertices[np.argsort(places[vertices, axis], kind="stable")]
            parts = _cut(graph, ranked)
            if best is None or len(parts[2]) < len(best[2]):
                best = parts
        if best is None or not len(best[0]) or not len(best[1]):
            return _inner(graph, vertices)
        low, high, between = best
        return dissect(low) + dissect(high) + between.tolist()

    return np.array(dissect(np.arange(len(graph))), dtype=np.intp)


def _cut(graph: Graph, ranked: Order) -> tuple[Order, Order, Order]:
    """Return the halves and the vertices between them."""
    half = len(ranked) // 2
    low, high = ranked[:half].tolist(), ranked[half:].tolist()
    low_set, high_set = set(low), set(high)
    facing = [[v for v in low if graph[v] & high_set], [v for v in high if graph[v] & low_set]]
    between = set(facing[0] if len(facing[0]) <= len(facing[1]) else facing[1])
    parts = [[v for v in part if v not in between] for part in (low, high)]
    return (
        np.array(parts[0], dtype=np.intp),
        np.array(parts[1], dtype=np.intp),
        np.array(sorted(between), dtype=np.intp),
    )


def _inner(graph: Graph, vertices: Order) -> list[int]:
    """Order a small set of vertices by their degree among themselves, then in the whole graph."""
    inside = set(vertices.tolist())
    return sorted(inside, key=lambda v: (len(graph[v] - inside), len(graph[v]), v))
