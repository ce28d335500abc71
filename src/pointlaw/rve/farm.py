"""Deal numbered tasks to the ranks, one after another, to whoever is free; rank 0 deals and works too.

A rank asks rank 0 for its next task by a message. Rank 0 answers between its own tasks and whenever its own work calls
:meth:`Farm.attend`; there is no thread and no one-sided communication, which not every MPI makes progress on. So that
nobody waits for rank 0 to look up, a rank asks before it begins with the task in hand. Only the last tasks are kept for
whoever is really free.
"""

from pointlaw.fem.mpi import MPI  # isort: skip - MPI first

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

REQUEST, ANSWER = 1, 2
DONE, LATER = -1, -2
KEPT = 2  # tasks a rank that are not promised to ranks which are still busy
PAUSE = 5e-4  # seconds between two looks at the mailbox: a waiting rank leaves its core to the others


@dataclass
class Progress:
    """What the ranks have done so far, as far as rank 0 knows: finished paths, and how many of them failed."""

    finished: int = 0
    failed: int = 0


class Farm:
    """Deals ``tasks`` over the ranks of ``comm``; iterate over it on every rank to get the tasks of that rank.

    Parameters
    ----------
    comm
        Communicator; its copy carries the messages.
    tasks : sequence of int
        The same on all ranks, each at least 0.
    watch : callable, optional
        Called on rank 0 with the :class:`Progress` when something was reported.
    """

    def __init__(self, comm: Any, tasks: Sequence[int], watch: Callable[[Progress], None] | None = None):
        self._comm = comm.Dup()
        self._tasks = deque(tasks)
        self._watch = watch
        self._waiting = self._comm.size - 1  # ranks that have not been sent home yet
        self._news = Progress()
        self.progress = Progress()

    def __iter__(self) -> Iterator[int]:
        return self._deal() if self._comm.rank == 0 else self._ask()

    def report(self, finished: int, failed: int) -> None:
        """Tell rank 0, with the next request, what this rank has finished."""
        if self._comm.rank == 0:
            self._book(Progress(finished, failed))
        else:
            self._news.finished += finished
            self._news.failed += failed

    def attend(self) -> None:
        """Answer the requests that have arrived; does nothing on other ranks than 0."""
        if self._comm.rank:
            return
        while self._waiting and self._comm.Iprobe(source=MPI.ANY_SOURCE, tag=REQUEST):
            status = MPI.Status()
            news, busy = self._comm.recv(source=MPI.ANY_SOURCE, tag=REQUEST, status=status)
            if busy and len(self._tasks) <= KEPT * self._comm.size:
                task = LATER
            else:
                task = self._tasks.popleft() if self._tasks else DONE
            self._waiting -= task == DONE
            self._comm.send(task, dest=status.Get_source(), tag=ANSWER)
            self._book(news)

    def close(self) -> None:
        """Free the communicator; collective."""
        self._comm.Free()

    def _book(self, news: Progress) -> None:
        self.progress.finished += news.finished
        self.progress.failed += news.failed
        if self._watch and news.finished:
            self._watch(self.progress)

    def _deal(self) -> Iterator[int]:
        self.attend()
        while self._tasks:
            yield self._tasks.popleft()
            self.attend()
        while self._waiting:
            self.attend()
            time.sleep(PAUSE)

    def _ask(self) -> Iterator[int]:
        self._request(busy=False)
        while (task := self._answer()) != DONE:
            if task == LATER:
                self._request(busy=False)
                continue
            self._request(busy=True)
            yield task

    def _request(self, *, busy: bool) -> None:
        """Ask for a task, and say what was finished since the last time."""
        news, self._news = self._news, Progress()
        self._comm.send((news, busy), dest=0, tag=REQUEST)

    def _answer(self) -> int:
        while not self._comm.Iprobe(source=0, tag=ANSWER):
            time.sleep(PAUSE)
        return int(self._comm.recv(source=0, tag=ANSWER))
