"""The symbolic analysis describes the factor of the matrix it was made for, and the compiled code computes it."""

import numpy as np
import pytest

from pointlaw.errors import EnvironmentProblem
from pointlaw.kernels import native
from pointlaw.kernels.ordering import best_order, minimum_degree, nested_dissection, work
from pointlaw.kernels.symbolic import column_structure, panels, postordered


def random_graph(n, seed, share=0.1):
    rng = np.random.default_rng(seed)
    full = rng.uniform(size=(n, n)) < share
    full |= full.T | np.eye(n, k=1, dtype=bool) | np.eye(n, k=-1, dtype=bool)
    return [set(np.flatnonzero(row).tolist()) - {i} for i, row in enumerate(full)], rng.uniform(size=(n, 2))


def torus(n):
    def neighbours(i, j):
        return {(i + a) % n * n + (j + b) % n for a in (-1, 0, 1) for b in (-1, 0, 1)} - {i * n + j}

    places = np.array([(i, j) for i in range(n) for j in range(n)], dtype=float)
    return [neighbours(i, j) for i in range(n) for j in range(n)], places


def dense_fill(graph, order):
    """Return which entries of the factor are not zero, by the elimination itself."""
    position = np.argsort(order)
    n = len(graph)
    filled = np.eye(n, dtype=bool)
    for vertex, others in enumerate(graph):
        filled[position[vertex], position[list(others)]] = True
    for k in range(n):
        rows = np.flatnonzero(filled[k + 1 :, k]) + k + 1
        filled[np.ix_(rows, rows)] = True
    return np.tril(filled, -1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order_of", [minimum_degree, lambda g: np.arange(len(g))], ids=["minimum degree", "natural"])
def test_the_column_structure_is_that_of_the_elimination(seed, order_of):
    graph, _ = random_graph(30, seed)
    order = order_of(graph)
    filled = dense_fill(graph, order)
    assert column_structure(graph, order) == [np.flatnonzero(filled[:, k]).tolist() for k in range(30)]


@pytest.mark.parametrize("seed", range(3))
def test_every_order_is_a_permutation_and_postordering_keeps_the_work(seed):
    graph, places = random_graph(60, seed)
    for order in (minimum_degree(graph), nested_dissection(graph, places), best_order(graph, places)):
        assert sorted(order) == list(range(60))
        assert work(graph, postordered(graph, order)) == work(graph, order)


def test_the_work_of_the_chosen_order_grows_like_a_dissection_and_not_like_a_band():
    chosen, band = [], []
    for n in (12, 24):
        graph, places = torus(n)
        chosen.append(work(graph, best_order(graph, places)))
        band.append(work(graph, np.arange(n * n)))
        assert chosen[-1] <= min(work(graph, minimum_degree(graph)), work(graph, nested_dissection(graph, places)))
    assert band[1] > 14 * band[0]  # 2⁴ for twice as many cells a side
    assert chosen[1] < 11 * chosen[0]  # 2³ and a little


@pytest.mark.parametrize("slack", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_panels_hold_every_entry_of_the_factor_and_the_stream_leads_to_the_right_blocks(seed, slack):
    graph, places = random_graph(40, seed, 0.06)
    columns = column_structure(graph, best_order(graph, places))
    layout = panels(columns, slack=slack)
    assert layout.width.sum() == 40
    blocks = {(row, k): layout.block(row, k) for k, rows in enumerate(columns) for row in [k, *rows]}
    assert len(set(blocks.values())) == len(blocks)
    target, stride, below = iter(layout.target), iter(layout.stride), iter(layout.rows)
    for s in range(len(layout.first)):
        rows = [next(below) for _ in range(layout.below[s])]
        for j, column in enumerate(rows):
            assert next(stride) == 2 * layout.width[layout.panel_of[column]]
            for row in rows[j:]:
                assert next(target) == layout.block(row, column)
    assert next(target, None) is None


def test_more_slack_makes_fewer_and_wider_supernodes():
    graph, places = torus(12)
    columns = column_structure(graph, best_order(graph, places))
    number = [len(panels(columns, slack=slack).first) for slack in (0.0, 0.2, 0.5)]
    assert number[0] > number[1] > number[2]


def test_a_library_is_built_once_and_then_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = native._built("rve2d")
    changed = first.stat().st_mtime_ns
    assert first.is_relative_to(tmp_path / "pointlaw" / f"native-{native.processor()}")
    assert native._built("rve2d") == first
    assert first.stat().st_mtime_ns == changed
    assert [p.name for p in first.parent.iterdir()] == [first.name]  # nothing half built is left


def test_without_a_compiler_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "compiler", lambda: None)
    with pytest.raises(EnvironmentProblem, match="no C compiler on PATH"):
        native._built("rve2d")


def test_a_cache_that_cannot_be_written_gets_a_sentence_so_that_slower_ways_are_taken(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EnvironmentProblem, match=r"cannot be kept in .*file.*Set XDG_CACHE_HOME to a folder you own"):
        native._built("rve2d")


def test_an_empty_name_of_the_cache_is_no_name(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert native.cache_folder().is_absolute()


def test_a_failing_compiler_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "compiler", lambda: "/bin/false")
    with pytest.raises(EnvironmentProblem, match="The C compiler failed"):
        native._built("rve2d")
    assert list((tmp_path / "pointlaw").rglob("*.so")) == []
