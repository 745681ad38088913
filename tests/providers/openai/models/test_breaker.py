"""A circuit breaker, at a time of the test's own."""

import pytest

from dragoman.providers.openai.agents.models.breaker import FAILURES, LONGEST_PAUSE, PAUSE, Breaker


class Clock:
    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(now=clock)


def fail(breaker, times):
    for _ in range(times):
        breaker.enter()
        breaker.failed()


def test_it_opens_after_so_many_failures_in_a_row(breaker):
    fail(breaker, FAILURES - 1)
    assert (breaker.state, breaker.enter()) == ("closed", True)
    breaker.failed()
    assert (breaker.state, breaker.enter(), breaker.rest) == ("open", False, PAUSE)


def test_a_success_in_between_counts_from_the_start(breaker):
    fail(breaker, FAILURES - 1)
    breaker.succeeded()
    fail(breaker, FAILURES - 1)
    assert breaker.state == "closed"


def test_after_its_pause_one_probe_may_ask(breaker, clock):
    fail(breaker, FAILURES)
    clock.time += PAUSE
    assert (breaker.state, breaker.rest) == ("half_open", 0)
    assert [breaker.enter() for _ in range(3)] == [True, False, False]
    assert breaker.rest > 0


def test_a_probe_that_succeeds_closes_it(breaker, clock):
    fail(breaker, FAILURES)
    clock.time += PAUSE
    breaker.enter()
    breaker.succeeded()
    assert (breaker.state, breaker.enter(), breaker.rest) == ("closed", True, 0)


def test_a_probe_that_fails_doubles_the_pause_up_to_a_limit(breaker, clock):
    fail(breaker, FAILURES)
    pauses = []
    for _ in range(6):
        clock.time += breaker.rest
        assert breaker.enter()
        breaker.failed()
        pauses.append(breaker.rest)
    assert pauses == [PAUSE * 2, PAUSE * 4, PAUSE * 8, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_probe_that_nobody_waited_for_leaves_room_for_another(breaker, clock):
    fail(breaker, FAILURES)
    clock.time += PAUSE
    assert breaker.enter()
    breaker.left()
    assert breaker.enter()


def test_what_was_asked_before_it_opened_does_not_prolong_the_pause(breaker, clock):
    fail(breaker, FAILURES)
    clock.time += PAUSE / 2
    breaker.failed()
    assert breaker.rest == PAUSE / 2


def test_one_without_a_limit_never_opens(clock):
    breaker = Breaker(failures=None, now=clock)
    fail(breaker, 1000)
    assert breaker.state == "closed"
