"""What the ranks of a closed loop learn together; two threads stand for two ranks."""

import threading

import pytest

from pointlaw.errors import InputError, LawFileError, PointlawError
from pointlaw.training.rounds import Memory, on_root


class Rank:
    """A communicator of two threads, with the one call that is needed."""

    def __init__(self, rank, meeting, board):
        self.rank, self.size, self._meeting, self._board = rank, 2, meeting, board

    def bcast(self, value):
        if self.rank == 0:
            self._board[:] = [value]
        self._meeting.wait(10)
        return self._board[0]


def on_two_ranks(work):
    """Return what ``work(comm)`` gave or raised on both ranks."""
    meeting, board, answers = threading.Barrier(2), [], {}

    def run(rank):
        try:
            answers[rank] = work(Rank(rank, meeting, board))
        except Exception as error:
            answers[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [answers[rank] for rank in (0, 1)]


def test_rank_0_alone_works_and_all_learn_the_answer() -> None:
    asked = []
    assert on_two_ranks(lambda comm: on_root(comm, lambda: asked.append(comm.rank) or 7)) == [7, 7]
    assert asked == [0]


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (InputError("wrong"), InputError, "wrong"),
        (LawFileError("torn"), LawFileError, "torn"),
        (OSError(28, "disk full"), PointlawError, "OSError: [Errno 28] disk full"),
    ],
)
def test_an_error_of_rank_0_is_raised_on_all_ranks(error, kind, sentence) -> None:
    def fail():
        raise error

    raised = on_two_ranks(lambda comm: on_root(comm, fail))
    assert [type(one) for one in raised] == [kind, kind]
    assert [str(one) for one in raised] == [sentence, sentence]
    assert all(one.collective for one in raised)
    assert raised[0].__cause__ is error


def test_a_damaged_memory_is_refused_on_all_ranks(tmp_path) -> None:
    (tmp_path / "loop.pt").write_bytes(b"half a file")
    raised = on_two_ranks(lambda comm: Memory(tmp_path / "loop.pt", "loop", comm))
    assert [type(one) for one in raised] == [InputError, InputError]
    assert "cannot be read" in str(raised[1])
