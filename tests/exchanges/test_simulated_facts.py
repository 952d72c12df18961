"""What is known of the venue's instruments, and the refusal to guess what is not."""

import itertools
from decimal import Decimal

import pytest

from qtlib.domain.market import Instrument
from qtlib.exchanges.simulated import facts, instruments
from qtlib.exchanges.simulated.facts import recorded

D = Decimal
TEN = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "LINKUSDT", "NEARUSDT", "ADAUSDT", "BNBUSDT", "DOGEUSDT", "AVAXUSDT"]


def test_ten_symbols_are_on_record_with_their_dates_and_source():
    assert list(facts()) == TEN
    assert (recorded()["filters_as_of"], recorded()["brackets_as_of"]) == ("2026-07-03", "2026-09")
    assert "exchangeInfo" in recorded()["source"]


def test_a_recorded_instrument_is_what_the_venue_said():
    btc = facts()["BTCUSDT"]
    said = btc.tick, btc.lot, btc.min_notional, btc.max_market_quantity, btc.price_band_frac, btc.liquidation_fee_frac
    assert said == (D("0.10"), D("0.001"), 50, 120, D("0.05"), D("0.0125"))
    assert (btc.maker_fee_frac, btc.taker_fee_frac, btc.funding_interval_h) == (D("0.0002"), D("0.0005"), 8)
    assert facts()["NEARUSDT"].lot == 1


@pytest.mark.parametrize("symbol", TEN)
def test_each_brackets_cum_follows_from_the_one_before(symbol):
    brackets = facts()[symbol].brackets
    assert brackets[0].cum == 0
    for below, bracket in itertools.pairwise(brackets):
        step = below.notional_cap * (bracket.maintenance_frac - below.maintenance_frac)
        assert bracket.cum == below.cum + step
        assert bracket.notional_cap > below.notional_cap
        assert bracket.max_leverage < below.max_leverage


@pytest.mark.parametrize("symbol", TEN)
def test_the_recorded_brackets_are_the_documents_own(symbol):
    """Instruments recompute `cum`; the record holds what the venue wrote."""
    written = [D(row[3]) for row in recorded()["symbols"][symbol]["brackets"]]
    assert [b.cum for b in facts()[symbol].brackets] == written


def test_an_unlisted_symbol_takes_its_facts_from_the_settings():
    said = {"tick": "0.0001", "lot": 1, "min_notional": 5, "brackets": [[5000, 0.01, 75], [50000, 0.02, 25, 50]]}
    near = instruments(["NEWUSDT"], {"NEWUSDT": said})["NEWUSDT"]
    assert (near.symbol, near.tick, near.lot, near.taker_fee_frac) == ("NEWUSDT", D("0.0001"), 1, D("0.0005"))
    assert near.brackets[1].cum == 50


def test_settings_change_what_is_recorded_and_leave_the_rest():
    mine = instruments(["BTCUSDT"], {"BTCUSDT": {"taker_fee_frac": 0.0003}})["BTCUSDT"]
    assert (mine.taker_fee_frac, mine.tick) == (D("0.0003"), D("0.10"))
    assert mine.brackets == facts()["BTCUSDT"].brackets


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, r"settings lack tick, lot, min_notional; write them out under venue.symbols, .*\{NEWUSDT: \{tick"),
        ({"tick": 0.1, "lot": 1}, "lack min_notional"),
        (
            {"tick": 0.1, "lot": 1, "min_notional": 5, "taker_fee": 0.1},
            "unknown fact 'taker_fee' .did you mean taker_f",
        ),
        ({"tick": 0, "lot": 1, "min_notional": 5}, "tick 0 must be above 0"),
        ({"tick": "a", "lot": 1, "min_notional": 5}, "tick 'a' must be a number"),
        ({"tick": "NaN", "lot": 1, "min_notional": 5}, "must be a finite number"),
        ({"tick": 1, "lot": 1, "min_notional": 5, "brackets": []}, "at least one row"),
        ({"tick": 1, "lot": 1, "min_notional": 5, "brackets": [[10, 0.1, 5], [5, 0.2, 2]]}, "must ask no less"),
        ({"tick": 1, "lot": 1, "min_notional": 5, "brackets": [[10, 0.1, 5], [50, 0.2, 2, 7]]}, "neighbours make it 1"),
    ],
)
def test_nothing_is_guessed(said, words):
    with pytest.raises(ValueError, match=words):
        instruments(["NEWUSDT"], {"NEWUSDT": said})


def test_a_float_means_the_decimal_it_is_written_as():
    assert instruments(["XUSDT"], {"XUSDT": {"tick": 0.1, "lot": 0.001, "min_notional": 5}})["XUSDT"] == Instrument(
        "XUSDT", tick=D("0.1"), lot=D("0.001"), min_notional=D(5)
    )


def test_a_symbol_that_is_nearly_one_is_asked_back():
    with pytest.raises(ValueError, match=r"\(did you mean BTCUSDT\?\)"):
        instruments(["BTCUSD"], {})
