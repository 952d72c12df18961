"""What every journal promises, in memory and in either database."""

from functools import reduce
from itertools import pairwise

import pytest
from builders import T0
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stories import MINUTE, a_command, a_long_story, answered, bars_closed, decided, stories

from qtlib.domain.advance import advance
from qtlib.domain.commands import Verb
from qtlib.domain.events import OrderChanged, StatusSet, TradingStatus
from qtlib.domain.orders import OrderStatus
from qtlib.domain.state import State
from qtlib.journal import Held

# an empty journal is made for every example, by calling the fixture
LAW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def folded(events):
    return reduce(advance, events, State())


def first_of_each_key(events):
    return [event for i, event in enumerate(events) if event.key not in {e.key for e in events[:i]}]


def known(journal):
    return [event for _, event in journal.events()]


def following(*events):
    """That these follow, from whatever state."""

    def told(_, tell):
        for event in events:
            tell(event)

    return told


def in_pieces(story, cuts):
    edges = [0, *sorted(cut for cut in cuts if cut < len(story)), len(story)]
    return [story[a:b] for a, b in pairwise(edges)]


@LAW
@given(story=stories, cuts=st.sets(st.integers(0, 20)), synced=st.booleans())
def test_each_fact_is_kept_once_in_the_order_we_learned_it_however_it_is_handed_in(fresh, story, cuts, synced):
    state = State()
    with fresh() as journal:
        for piece in in_pieces(story, cuts):
            state = journal.absorb(state, iter(piece), synced=synced)
        facts = first_of_each_key(story)
        assert known(journal) == facts
        assert state == folded(facts) == journal.state()


@LAW
@given(story=stories, repeat=st.randoms(use_true_random=False))
def test_absorbing_again_changes_nothing(fresh, story, repeat):
    with fresh() as journal:
        state = journal.absorb(State(), story)
        before = list(journal.events())
        for _ in range(3):
            again = repeat.sample(story, repeat.randint(0, len(story)))
            assert journal.absorb(state, again) is state
        assert list(journal.events()) == before


@LAW
@given(story=stories)
def test_replaying_a_journal_into_another_twice_is_replaying_it_once(fresh, story):
    with fresh() as first, fresh() as second:
        first.absorb(State(), story)
        state = second.absorb(State(), known(first))
        assert second.absorb(state, known(first)) is state
        assert known(second) == known(first)
        assert second.state() == first.state()


@LAW
@given(story=stories, cut=st.integers(0, 20))
def test_a_kept_snapshot_changes_no_state(fresh, story, cut):
    with fresh() as journal:
        state = journal.absorb(State(), story[:cut])
        journal.keep(state)
        state = journal.absorb(state, story[cut:])
        assert journal.state() == state == folded(known(journal))


@LAW
@given(story=stories, conclusions=stories, cut=st.integers(0, 20))
def test_what_follows_is_written_with_what_it_follows_from(fresh, story, conclusions, cut):
    with fresh() as journal:
        before = journal.absorb(State(), story[:cut])
        seen = []

        def conclude(state, tell):
            for event in conclusions:
                seen.append(state)
                state = tell(event)

        state = journal.absorb(before, story[cut:], then=conclude)
        facts = first_of_each_key([*story, *conclusions])
        assert known(journal) == facts
        assert state == folded(facts) == journal.state()
        so_far = [folded(first_of_each_key([*story, *conclusions[:n]])) for n in range(len(conclusions))]
        assert seen == so_far  # each is drawn from what the one before it left


def test_a_moment_that_cannot_be_concluded_did_not_happen(journal):
    def conclude(_, tell):
        tell(decided(T0 + 9 * MINUTE))
        raise RuntimeError("no conclusion")

    with pytest.raises(RuntimeError, match="no conclusion"):
        journal.absorb(State(), a_long_story(3), then=conclude)
    assert known(journal) == []
    assert journal.absorb(State(), a_long_story(3)) == journal.state() == folded(a_long_story(3))


def test_nothing_may_follow(journal):
    state = State()
    assert journal.absorb(state, [], then=following()) is state
    assert known(journal) == []


def test_a_listener_is_told_of_news_only_with_the_state_around_it(journal):
    told = []
    story = list(a_long_story(4))
    journal.listener = lambda *step: told.append(step)
    state = journal.absorb(State(), story[:3])
    state = journal.absorb(state, story[:2], then=following(story[3]))
    assert [event for _, event, _ in told] == story
    assert told[0][0] == State()
    assert all(after is before for (_, _, after), (before, _, _) in pairwise(told))
    assert told[-1][2] is state


def test_news_among_repeats_is_found(journal):
    a, b, c = (bars_closed(T0 + n * MINUTE, 100.0 + n) for n in range(3))
    state = journal.absorb(State(), [a, b])
    assert journal.absorb(state, [a, c, b, c]).ts == c.ts
    assert known(journal) == [a, b, c]


def test_numbers_rise_and_reading_starts_after_any_of_them(journal):
    journal.absorb(State(), a_long_story(30))
    numbered = list(journal.events())
    numbers = [seq for seq, _ in numbered]
    assert numbers == sorted(set(numbers))
    for seq in (0, numbers[3], numbers[-1], numbers[-1] + 5):
        assert list(journal.events(after=seq)) == [(n, event) for n, event in numbered if n > seq]


def test_reading_goes_on_through_what_is_written_meanwhile(journal):
    state = journal.absorb(State(), a_long_story(5))
    read = journal.events()
    next(read)
    journal.absorb(state, a_long_story(2, start=5))
    assert len(list(read)) >= 4


def test_nothing_is_no_news(journal):
    state = State()
    assert journal.absorb(state, []) is state
    assert journal.absorb(state, iter(())) is state
    assert journal.state() == State()
    assert known(journal) == []


def test_an_intent_is_down_before_it_is_acted_on(journal):
    order, fill = list(a_long_story(4))[2:]
    state = journal.absorb(State(), [order], synced=True)
    assert known(journal) == [order]
    assert state.orders[order.intent.client_id].status is OrderStatus.PENDING
    state = journal.absorb(state, [fill, OrderChanged(T0, order.intent.client_id, OrderStatus.FILLED)])
    assert not state.orders


def test_a_command_waits_until_it_is_answered(journal):
    kill, rearm = a_command("1", Verb.KILL), a_command("2", Verb.REARM)
    journal.command(kill)
    journal.command(rearm)
    journal.command(kill)
    assert journal.commands() == [kill, rearm]
    state = journal.absorb(State(), [], then=following(answered(kill, TradingStatus.HALTED)))
    assert state.status is TradingStatus.HALTED
    assert journal.commands() == [rearm]
    journal.absorb(state, [answered(rearm, TradingStatus.ACTIVE)])
    assert journal.commands() == []


def test_a_command_that_was_answered_is_not_asked_again(journal):
    kill = a_command("1", Verb.KILL)
    journal.absorb(State(), [answered(kill, TradingStatus.HALTED)])
    journal.command(kill)
    assert journal.commands() == []


def test_a_status_of_the_engines_own_answers_no_command(journal):
    kill = a_command("1", Verb.KILL)
    journal.command(kill)
    journal.absorb(State(), [StatusSet(T0, TradingStatus.HALTED, "daily loss")])
    assert journal.commands() == [kill]


def test_one_writer_per_account_and_its_number_grows(journal):
    with journal.lease("first") as lease:
        first = lease.fence
        with pytest.raises(Held, match="'first', process"):
            journal.lease("second")
        lease.renew()
    with journal.lease("second") as lease:
        assert lease.fence == first + 1
        assert journal.absorb(State(), [decided(T0)]).decided == T0
