"""The language of faults: what is said is what is read, and the same seed is the same schedule, for ever."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtlib.exchanges.simulated.faults import KINDS, PLACING, Faults, Place, fault, read, schedule

seeds = st.integers(0, 10**9)
names = st.sampled_from(["POST v1/order", "GET v1/order", "DELETE v1/order", "GET v1/time"])


TO_BE_OFFERED = {  # everything that is to go wrong on demand, and what it is called
    "late before it is executed, and after": ("delay_before", "delay_after"),
    "429 and 418, with when to come back": ("too_many", "banned"),
    "503 in its three texts": ("unknown_error", "unavailable", "overloaded"),
    "-1007 and -1006, executed or not": ("timeout", "unexpected"),
    "the connection is reset, the answer empty, or there is none": ("reset", "empty", "unanswered"),
    "-1021, -5028, -2015": ("clock_skew", "engine_late", "key_refused"),
    "an order that is not found for a while": ("stale",),
    "events twice, out of order, or never": ("repeat", "reorder", "omit"),
    "sockets that are cut off or fall silent, a key that expires": (
        "drop_socket",
        "silent_socket",
        "listen_key_expired",
    ),
    "fills in part, a gap through a stop, liquidation, deleveraging": ("partial_fills", "gap", "liquidation", "adl"),
    "a symbol that settles, other filters, funding at the instant of a close": ("settling", "filters", "funding"),
}


def test_everything_that_is_to_be_offered_has_a_name_and_there_is_little_else():
    offered = {kind for kinds in TO_BE_OFFERED.values() for kind in kinds}
    assert set(KINDS) - offered == {"rejected", "alters"}
    assert offered <= set(KINDS)


@given(seed=seeds)
def test_the_same_seed_draws_the_same_faults(seed):
    assert schedule(seed) == schedule(seed)


@given(seed=seeds)
def test_a_schedule_is_written_down_and_read_back(seed):
    drawn = schedule(seed)
    said = [
        {k: v for k, v in row.items() if k not in ("fault", "seen", "acted")}
        for row in Faults(drawn).document["faults"]
    ]
    assert read(json.loads(json.dumps({"seed": seed, "faults": said}))) == (drawn, seed)


def test_schedules_draw_every_kind_and_none_for_ever():
    drawn = [one for seed in range(400) for one in schedule(seed)]
    assert {one.kind for one in drawn} == set(KINDS)
    assert all(one.times for one in drawn)
    assert {one.kind for seed in range(50) for one in schedule(seed, kinds=("reset", "gap"))} == {"reset", "gap"}


@given(seed=seeds, heard=st.lists(names, max_size=60))
def test_the_same_seed_and_the_same_requests_meet_the_same_faults_in_the_same_order(seed, heard):
    def life():
        faults = Faults(schedule(seed, within=10), seed)
        return [faults.acting(Place.REQUEST, name) for name in heard], faults.document

    assert life() == life()


WHERE = {Place.REQUEST: "POST v1/order", Place.EVENT: "ORDER_TRADE_UPDATE", Place.SOCKET: "bar"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_acts_again_at_the_same_times_by_the_same_seed(kind):
    place = KINDS[kind].place

    def acts(seed):
        faults = Faults([fault(kind, on="*", times=None, chance=0.5)], seed)
        return [bool(faults.acting(place, WHERE.get(place, "BTCUSDT"))) for _ in range(64)]

    assert acts(7) == acts(7) != acts(8)


@given(heard=st.lists(names, max_size=60), first=st.integers(1, 5), times=st.integers(1, 5))
def test_a_fault_acts_from_its_first_time_on_and_no_more_often_than_it_may(heard, first, times):
    faults = Faults([fault("reset", on=PLACING, first=first, times=times)])
    acted = [bool(faults.acting(Place.REQUEST, name)) for name in heard]
    meant = [n for n, name in enumerate(heard) if name == "POST v1/order"]
    assert [n for n, acts in enumerate(acted) if acts] == meant[first - 1 : first - 1 + times]


@given(seed=seeds, heard=st.lists(names, max_size=60))
def test_chance_is_of_the_count_and_not_of_what_else_goes_wrong(seed, heard):
    alone = fault("reset", on="*", times=None, chance=0.5)
    other = fault("timeout", on="GET *", times=None, chance=0.5)
    by_itself, in_company = Faults([alone], seed), Faults([alone, other], seed)
    for name in heard:
        assert (alone in by_itself.acting(Place.REQUEST, name)) == (alone in in_company.acting(Place.REQUEST, name))


def test_what_was_injected_is_told_in_order():
    faults = Faults([fault("reset", on="GET *"), fault("timeout", on="*", times=2)])
    for name in ("GET v1/time", "POST v1/order"):
        faults.acting(Place.REQUEST, name, "x-1")
    assert [(i["n"], i["fault"], i["kind"], i["on"], i["about"]) for i in faults.document["injected"]] == [
        (1, 1, "reset", "GET v1/time", "x-1"),
        (2, 2, "timeout", "GET v1/time", "x-1"),
        (3, 2, "timeout", "POST v1/order", "x-1"),
    ]


def test_cleared_faults_act_no_more_and_new_ones_begin_to_count():
    faults = Faults([fault("reset", on="*", times=None)])
    faults.clear()
    assert faults.acting(Place.REQUEST, "GET v1/time") == []
    faults.add([fault("reset", on="*", first=2)])
    assert [len(faults.acting(Place.REQUEST, "GET v1/time")) for _ in range(3)] == [0, 1, 0]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"kind": "reset", "times": 0}, "times 0"),
        ({"kind": "reset", "times": True}, "times True"),
        ({"kind": "reset", "chance": 1.5}, "chance 1.5"),
        ({"kind": "delay_before", "seconds": -1}, "seconds -1"),
        ({"kind": "delay_before", "executes": True}, "takes no 'executes'"),
        ({"kind": "filters", "what": "tik"}, "one of tick, lot, min_notional"),
        ({"kind": "gap", "frac": "0.1"}, "frac '0.1'"),
        ({"kind": "reset", "on": ""}, "must be a pattern"),
        ({"kind": 1}, "expected a kind"),
        ("reset", "expected a kind"),
    ],
)
def test_nonsense_is_refused_by_its_number(said, words):
    with pytest.raises(ValueError, match=f"fault 2: .*{words}"):
        read({"faults": [{"kind": "reset"}, said]})


def test_every_kind_can_be_made_of_nothing_but_its_name():
    for kind, its in KINDS.items():
        made = fault(kind)
        assert made.place is its.place
        assert replace(made, first=2) == fault(kind, first=2)
