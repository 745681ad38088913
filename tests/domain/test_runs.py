"""The table of legal changes of status."""

import pytest

from dragoman.domain.runs import ENDS, MAX_ATTEMPTS, NEXT, POSITIONS_PER_ATTEMPT, RunStatus, before, first_position

S = RunStatus


def test_every_status_has_its_line_in_the_table():
    assert set(NEXT) == set(RunStatus)


@pytest.mark.parametrize("end", sorted(ENDS))
def test_from_an_end_there_is_no_way(end):
    assert end.ended
    assert not NEXT[end]


def test_every_status_but_the_first_can_be_reached_and_every_run_can_end():
    reached = {S.QUEUED}
    while new := {later for status in reached for later in NEXT[status]} - reached:
        reached |= new
    assert reached == set(RunStatus)
    assert all(NEXT[status] & ENDS for status in RunStatus if not status.ended)


def test_before_is_the_same_table_read_backwards():
    for status in RunStatus:
        assert set(before(status)) == {earlier for earlier, later in NEXT.items() if status in later}


def test_only_a_queued_run_is_taken_up():
    assert before(S.IN_PROGRESS) == (S.QUEUED,)


def test_only_a_run_in_progress_waits_for_a_person_or_stays_incomplete():
    assert before(S.REQUIRES_ACTION) == (S.IN_PROGRESS,)
    assert S.QUEUED not in before(S.INCOMPLETE)


def test_a_queued_run_completes_where_another_takes_its_message():
    assert S.QUEUED in before(S.COMPLETED)


def test_positions_of_a_later_attempt_are_above_all_of_an_earlier_one():
    assert first_position(0) == 0
    assert first_position(5) == first_position(4) + POSITIONS_PER_ATTEMPT
    assert first_position(MAX_ATTEMPTS) * 8 < 2**53  # so that every client can hold it
