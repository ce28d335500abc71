"""Ranks agree first, then act together."""

import pytest

from pointlaw.errors import InputError, PointlawError

pytestmark = pytest.mark.fem

EVERY_SIZE = pytest.mark.mpi(ranks=(1, 2, 3))


class TwoArguments(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def world():
    from pointlaw.fem.mpi import MPI

    return MPI.COMM_WORLD


@EVERY_SIZE
def test_no_error_anywhere_lets_all_ranks_go_on():
    from pointlaw.fem.mpi import agree

    agree(world(), None)
    assert world().allreduce(1) == world().size


@EVERY_SIZE
def test_an_error_of_one_rank_is_raised_on_all_with_class_sentence_and_rank():
    from pointlaw.fem.mpi import agree

    last = world().size - 1
    with pytest.raises(InputError, match="tag 7 is missing") as caught:
        agree(world(), InputError("tag 7 is missing") if world().rank == last else None)
    assert caught.value.collective
    assert (f"(rank {last} of {world().size})" in str(caught.value)) == (world().size > 1)
    assert (caught.value.__cause__ is not None) == (world().rank == last)


@pytest.mark.mpi(ranks=3)
def test_of_several_errors_the_one_of_the_lowest_rank_is_raised_everywhere():
    from pointlaw.fem.mpi import agree

    with pytest.raises(InputError, match=r"from rank 1 \(rank 1 of 3\)"):
        agree(world(), InputError(f"from rank {world().rank}") if world().rank > 0 else None)


@pytest.mark.mpi(ranks=2)
def test_a_class_that_cannot_be_made_from_a_sentence_becomes_a_pointlaw_error_that_names_it():
    from pointlaw.fem.mpi import agree

    with pytest.raises(PointlawError, match="TwoArguments: this and that"):
        agree(world(), TwoArguments("this", "that") if world().rank == 1 else None)


@EVERY_SIZE
def test_the_largest_and_smallest_value_of_all_ranks_are_known_to_all(ranks):
    from pointlaw.fem.mpi import all_max, all_min

    assert all_max(world(), 10 + world().rank) == 9 + ranks
    assert all_min(world(), 0.5 + world().rank) == 0.5


@pytest.mark.mpi(ranks=2)
def test_the_abort_hook_is_installed_by_the_import_when_there_are_several_ranks():
    import sys

    from pointlaw.fem.mpi import install_abort_hook

    assert install_abort_hook()
    assert sys.excepthook is not sys.__excepthook__


def test_one_rank_keeps_pythons_own_excepthook():
    import sys

    from pointlaw.fem.mpi import install_abort_hook

    assert not install_abort_hook()
    assert sys.excepthook is sys.__excepthook__
