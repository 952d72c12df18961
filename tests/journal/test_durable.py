"""What a journal in a database promises beyond: it outlives its process, and is read by others meanwhile."""

import hashlib
import logging
import time
from functools import reduce

import pytest
from builders import T0
from sqlalchemy import text
from stories import MINUTE, a_command, a_long_story, answered, bars_closed, decided

from qtlib.domain.advance import advance
from qtlib.domain.commands import Verb
from qtlib.domain.decisions import Reason
from qtlib.domain.events import TradingStatus
from qtlib.domain.state import State
from qtlib.journal import Corrupt, Fenced, Journal


def folded(events):
    return reduce(advance, events, State())


def told(journal, story):
    """The state after `story`, one event at a time."""
    state = journal.state()
    for event in story:
        state = journal.absorb(state, [event])
    return state


def say(journal, statement, **values):
    """Do to the database what a journal never does."""
    return journal._db.run(text(statement), account=journal.account, **values)


def snapshots(journal):
    return say(journal, "SELECT seq FROM snapshots WHERE account = :account ORDER BY seq").scalars().all()


def test_what_absorb_returned_is_there_for_the_next_process(durable):
    story = list(a_long_story(20))
    state = told(durable(), story)  # and never closed
    after = durable()
    assert after.state() == state == folded(story)
    assert [event for _, event in after.events()] == story


def test_accounts_in_one_database_know_nothing_of_each_other(durable):
    one, other = durable(), durable(account="another")
    told(one, a_long_story(8))
    event = decided(T0)
    other.absorb(State(), [event])
    assert [e for _, e in other.events()] == [event]
    other.command(a_command("1", Verb.KILL))
    assert one.commands() == []


def test_a_command_reaches_the_engine_from_another_process_and_so_does_its_answer(durable):
    engine, panel = durable(), durable()
    kill = a_command("1", Verb.KILL)
    panel.command(kill)
    assert engine.commands() == [kill]
    assert panel.answer(kill) is None
    done = answered(kill, TradingStatus.HALTED)
    engine.absorb(engine.state(), [done])
    assert engine.commands() == panel.commands() == []
    assert panel.answer(kill) == done
    assert panel.state().status is TradingStatus.HALTED


def test_who_only_reads_can_tell_who_writes(durable):
    engine, panel = durable(), durable()
    assert panel.writer() is None
    with engine.lease("a session"):
        assert panel.writer().owner == "a session"
    assert panel.writer() is None


def test_a_start_costs_the_tail_and_not_the_history(durable):
    journal = durable(snapshot_every=10)
    state = told(journal, a_long_story(95))
    kept = snapshots(journal)
    assert kept == [70, 80, 90]  # the last few, and not all of them
    say(journal, "DELETE FROM events WHERE account = :account AND seq <= 90")  # so nobody can have read them
    assert durable().state() == state


def test_closing_keeps_a_snapshot(durable):
    with durable() as journal:
        state = told(journal, a_long_story(7))
    after = durable()
    assert snapshots(after) == [7]
    assert after.state() == state


def test_who_only_reads_writes_nothing_and_who_is_late_forgets_nothing_newer(durable):
    late, engine, panel = durable(), durable(), durable()
    story = list(a_long_story(9))
    late.absorb(State(), story[:3])
    told(engine, story[3:])
    panel.state()
    for journal in (engine, panel, late):
        journal.close()
    assert snapshots(durable()) == [3, 9]


@pytest.mark.parametrize("damage", ["payload = 'x' || payload", "sha256 = 'x' || sha256"])
def test_a_damaged_snapshot_is_passed_over_aloud(durable, damage, caplog):
    journal = durable(snapshot_every=10)
    state = told(journal, a_long_story(25))
    say(journal, f"UPDATE snapshots SET {damage} WHERE account = :account AND seq = 20")
    say(journal, "DELETE FROM events WHERE account = :account AND seq <= 10")  # the one before serves
    with caplog.at_level(logging.WARNING):
        assert durable().state() == state
    assert "snapshot at event 20 is damaged" in caplog.text


def test_with_every_snapshot_damaged_the_whole_story_is_told_again(durable):
    journal = durable(snapshot_every=10)
    state = told(journal, a_long_story(25))
    say(journal, "UPDATE snapshots SET payload = 'x' WHERE account = :account")
    assert durable().state() == state


def test_a_snapshot_by_other_arithmetic_is_not_believed(durable):
    journal = durable(snapshot_every=10)
    state = told(journal, a_long_story(25))
    sha256 = hashlib.sha256(b"{}").hexdigest()
    say(
        journal,
        "UPDATE snapshots SET format = 'older', payload = '{}', sha256 = :sha256 WHERE account = :account",
        sha256=sha256,
    )
    assert durable().state() == state


def test_only_what_the_events_add_up_to_is_ever_kept(durable):
    journal = durable(snapshot_every=5)
    told(journal, a_long_story(4))
    elsewhere = State(cause="from elsewhere")
    with pytest.raises(ValueError, match="returned last"):
        journal.keep(elsewhere)
    for event in a_long_story(20, start=4):
        elsewhere = journal.absorb(elsewhere, [event])
    journal.close()
    assert snapshots(durable()) == []
    assert durable().state() == folded(a_long_story(24))


def test_two_who_write_without_a_lease_never_mix(durable):
    one, other = durable(), durable()
    story = list(a_long_story(2))
    one.absorb(State(), story[:1])
    with pytest.raises(Fenced, match="starting again recovers"):
        other.absorb(State(), story[1:])
    state = other.state()  # which is what starting again does
    assert other.absorb(state, story[1:]) == folded(story)


def test_a_failed_absorb_wrote_nothing_of_it(durable):
    one, other = durable(), durable()
    one.absorb(State(), [decided(T0)])
    with pytest.raises(Fenced):
        other.absorb(State(), [bars_closed(T0, 100.0), bars_closed(T0 + MINUTE, 100.0)], synced=True)
    assert len(list(one.events())) == 1


def test_a_damaged_event_is_named(durable):
    journal = durable()
    told(journal, a_long_story(5))
    say(journal, "UPDATE events SET payload = '{' WHERE account = :account AND seq = 3")
    with pytest.raises(Corrupt, match="event 3"):
        journal.state()


def test_what_is_repeated_with_a_wish_for_the_platter_is_written_to_it(durable):
    journal = durable()
    event = decided(T0)
    state = journal.absorb(State(), [event])
    journal.absorb(state, [event], synced=True)
    assert snapshots(journal) == [1]  # the write that took it along


def test_fills_and_decisions_can_be_queried(durable):
    journal = durable()
    told(journal, [*a_long_story(8), decided(T0 + 60 * MINUTE, "ETHUSDT", Reason.COOLDOWN)])
    fills = say(journal, "SELECT * FROM fills WHERE account = :account ORDER BY seq").mappings().all()
    assert [(f["symbol"], f["side"], float(f["quantity"]), float(f["price"])) for f in fills] == [
        ("BTCUSDT", "buy", 0.01, 100.0),
        ("BTCUSDT", "sell", 0.01, 100.0),
    ]
    assert [f["client_id"] for f in fills] == ["order-2", "order-6"]
    decisions = say(journal, "SELECT * FROM decisions WHERE account = :account ORDER BY seq").mappings().all()
    assert [d["action"] for d in decisions] == ["hold", "hold", "refused"]
    last = decisions[-1]
    assert (last["symbol"], last["reason"], last["rule"]) == ("ETHUSDT", "cooldown", "")
    assert (last["wanted_notional"], last["allowed_notional"], last["score"]) == (150.5, 0.0, 0.25)


def test_a_long_history_starts_quickly(tmp_path):
    path = tmp_path / "journal.db"
    story = a_long_story(100_000)
    with Journal(path) as journal:
        state = journal.state()
        while batch := [event for event, _ in zip(story, range(1000), strict=False)]:
            state = journal.absorb(state, batch)
    with Journal(path) as journal:
        start = time.perf_counter()
        assert journal.state() == state
        assert time.perf_counter() - start < 2
