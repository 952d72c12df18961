"""One writer per account: who holds the lease, who takes it over, and what becomes of the one that lost it."""

import os
import subprocess
import sys
from datetime import timedelta

import psutil
import pytest
from builders import T0
from sqlalchemy import text
from stories import decided

from qtlib.domain.state import State
from qtlib.journal import Fenced, Held, MemoryJournal


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.now = T0

    def __call__(self):
        return self.now

    def pass_s(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def a_corpse():
    """The lease row of a process that has died on this machine, and is not even reaped."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.stdin.close()
    child.wait()


def set_holder(journal, **columns):
    assignments = ", ".join(f"{name} = :{name}" for name in columns)
    journal._db.run(
        text(f"UPDATE leases SET {assignments} WHERE account = :account"), account=journal.account, **columns
    )


def test_the_second_is_told_who_holds_it_and_until_when(durable, clock):
    first, second = durable(now=clock), durable(now=clock)
    with first.lease("live-a1b2", ttl_s=30), pytest.raises(Held) as refused:
        second.lease("live-c3d4")
    said = str(refused.value)
    assert "'live-a1b2'" in said
    assert f"process {os.getpid()}" in said
    assert "until 2026-01-01 00:00:30 UTC" in said
    assert "stop that session" in said


def test_a_heartbeat_keeps_it_for_as_long_as_it_beats(durable, clock):
    first, second = durable(now=clock), durable(now=clock)
    lease = first.lease("first", ttl_s=30)
    for _ in range(10):
        clock.pass_s(20)
        lease.renew()
        with pytest.raises(Held):
            second.lease("second")
    clock.pass_s(30)
    assert second.lease("second").fence == lease.fence + 1


def test_who_was_overtaken_can_write_no_more(durable, clock):
    first, second = durable(now=clock), durable(now=clock)
    lease = first.lease("first", ttl_s=30)
    state = first.absorb(State(), [decided(T0)])
    clock.pass_s(31)
    second.lease("second", ttl_s=30)
    for synced in (False, True):
        with pytest.raises(Fenced, match="fencing number 1 may not write any more"):
            first.absorb(state, [decided(clock.now)], synced=synced)
    with pytest.raises(Fenced, match="to 'second'"):
        lease.renew()
    second.absorb(second.state(), [decided(clock.now)])
    assert len(list(second.events())) == 2


def test_the_overtaken_hears_it_even_when_there_is_no_news(durable, clock):
    first, second = durable(now=clock), durable(now=clock)
    first.lease("first", ttl_s=30)
    state = first.absorb(State(), [decided(T0)])
    clock.pass_s(31)
    second.lease("second")
    with pytest.raises(Fenced):
        first.absorb(state, [decided(T0)])


def test_an_expired_lease_that_nobody_took_still_writes(durable, clock):
    journal = durable(now=clock)
    lease = journal.lease("slow", ttl_s=30)
    clock.pass_s(300)
    assert journal.absorb(State(), [decided(T0)]).decided == T0
    lease.renew()


def test_nobody_writes_without_a_lease_while_another_has_it(durable, clock):
    first, second = durable(now=clock), durable(now=clock)
    with first.lease("first"):
        with pytest.raises(Held, match="'first'"):
            second.absorb(State(), [decided(T0)])
        assert list(first.events()) == []
    second.absorb(State(), [decided(T0)])


def test_whoever_takes_over_must_read_what_was_written_since_it_opened(durable, clock):
    first, second = durable(now=clock), durable(now=clock)
    with first.lease("first"):
        first.absorb(State(), [decided(T0)])
    second.lease("second")
    later = decided(T0 + timedelta(hours=1))
    with pytest.raises(Fenced, match="since this session read the journal"):
        second.absorb(State(), [later])
    state = second.absorb(second.state(), [later])
    assert state == first.state()


@pytest.mark.parametrize("reaped", [True, False])
def test_the_lease_of_a_dead_process_is_free_at_once(durable, clock, a_corpse, reaped):
    first, second = durable(now=clock), durable(now=clock)
    first.lease("first", ttl_s=3600)
    set_holder(first, pid=a_corpse.pid, started_s=psutil.Process(a_corpse.pid).create_time())
    with pytest.raises(Held):
        second.lease("second")
    a_corpse.kill()
    if reaped:
        a_corpse.wait()
    else:
        os.waitid(os.P_PID, a_corpse.pid, os.WEXITED | os.WNOWAIT)
    assert second.lease("second").fence == 2


def test_a_process_that_took_a_dead_ones_number_is_not_mistaken_for_it(durable):
    first, second = durable(), durable()
    first.lease("first", ttl_s=3600)
    set_holder(first, started_s=1.0e9)  # this pid, but of a process that started in 2001
    assert second.lease("second").fence == 2


def test_of_another_machine_only_the_clock_is_believed(durable, clock):
    first, second = durable(now=clock), durable(now=clock)
    first.lease("first", ttl_s=30)
    set_holder(first, machine="another", host="elsewhere", pid=2**22 + 1)
    with pytest.raises(Held, match="on elsewhere"):
        second.lease("second")
    clock.pass_s(30)
    assert second.lease("second").fence == 2


def test_what_was_given_back_is_free_and_its_number_is_not_used_again(durable):
    for expected in (1, 2, 3):
        with durable() as journal, journal.lease("one after the other") as lease:
            assert lease.fence == expected


def test_closing_gives_the_lease_back(durable):
    first, second = durable(), durable()
    first.lease("first")
    first.close()
    assert second.lease("second").fence == 2


def test_a_lease_that_was_given_back_is_not_renewed(clock):
    lease = MemoryJournal(now=clock).lease("first", ttl_s=30)
    lease.release()
    clock.pass_s(30)
    with pytest.raises(Fenced):
        lease.renew()
