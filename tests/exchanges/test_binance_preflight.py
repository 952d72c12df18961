"""Before it begins: what is not as it must be is refused with its reason, and nothing is left behind."""

from decimal import Decimal

import pytest
from a_liar import lying
from a_served_venue import LISTED, SYMBOLS, served
from builders import HOUR, T0
from hypothesis import given
from hypothesis import strategies as st

from qtlib.exchanges.again import Again
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.binance.preflight import STEPS, clock_words, key_words, trial_stop
from qtlib.exchanges.port import Refused, Untrusted
from qtlib.exchanges.simulated.faults import Faults, fault


@pytest.fixture(scope="module")
def venue():
    with served(times=1000) as venue:
        yield venue


def findings(url, symbols=SYMBOLS, leverage=7, margin_mode="isolated"):
    with open_exchange(Mode.SIM, url=url, deadline_s=0.5) as ours:
        return {finding.step: finding for finding in ours.preflight(symbols, leverage, margin_mode)}


def refusal(venue, path, answer, step, method="GET"):
    """The words of the one step that is not good enough if the venue answers so."""
    with lying(venue.url, {(method, f"/fapi/{path}"): answer}) as url:
        found = findings(url)
    assert [finding.step for finding in found.values() if not finding.ok] == [step]
    return found[step].found


def test_a_sound_venue_passes_every_step_and_each_says_what_it_found():
    with served(times=1000) as venue:
        found = findings(venue.url)
        assert list(found) == list(STEPS)
        assert all(finding.ok and finding.found for finding in found.values())
        assert "BTCUSDT (tick 0.10, lot 0.001)" in found["symbols"].found
        assert venue.doors.unrouted == {}


def test_leverage_and_margin_mode_are_as_asked_for_afterwards():
    with served(times=1000) as venue:
        assert findings(venue.url, leverage=11, margin_mode="cross")["margin"].ok
        config = venue.ask("GET", "/fapi/v1/symbolConfig", signed=True)[1]
        assert {(row["leverage"], row["marginType"]) for row in config} == {(11, "CROSSED")}
        assert findings(venue.url, leverage=11, margin_mode="cross")["margin"].ok  # also when they are already


def test_the_stop_that_is_tried_out_leaves_nothing_behind(venue):
    findings(venue.url)
    assert list(venue.desk.open_records()) == []
    tried = [record for record in venue.desk.records() if record.client_id.startswith("qt-trial-")]
    assert tried
    assert all(not record.filled for record in tried)


def test_hedge_mode_is_refused(venue):
    def hedged(said):
        return {**said, "dualSidePosition": True}

    assert "hedge mode" in refusal(venue, "v1/accountConfig", hedged, "account mode")


def test_multi_assets_mode_is_refused(venue):
    def mixed(said):
        return {**said, "multiAssetsMargin": True}

    assert "multi-assets" in refusal(venue, "v1/accountConfig", mixed, "account mode")


def test_fees_in_a_coin_that_no_profit_counts_are_refused(venue):
    def burning(said):
        return {**said, "feeBurn": True}

    assert "paid in BNB" in refusal(venue, "v2/account", burning, "account mode")


def test_a_key_that_may_not_trade_is_refused(venue):
    def barred(said):
        return {**said, "canTrade": False}

    assert "may not trade" in refusal(venue, "v1/accountConfig", barred, "permissions")


def test_leverage_that_is_not_what_was_set_is_refused(venue):
    def stuck(said):
        return [{**row, "leverage": 3} for row in said]

    assert "at 3, and was set to ISOLATED at 7" in refusal(venue, "v1/symbolConfig", stuck, "margin")


def test_leverage_that_the_venue_does_not_allow_is_refused_in_its_words(venue):
    found = findings(venue.url, leverage=500)
    assert not found["margin"].ok
    assert found["margin"].found.startswith("-4028")


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"status": "SETTLING"}, "is SETTLING, not TRADING"), ({"contractType": "CURRENT_QUARTER"}, "not a perpetual")],
)
def test_a_symbol_that_does_not_trade_is_warned_of_and_the_others_are_tried(venue, changed, words):
    def other(said):
        rows = [{**row, **(changed if row["symbol"] == "ETHUSDT" else {})} for row in said["symbols"]]
        return {**said, "symbols": rows}

    with lying(venue.url, {("GET", "/fapi/v1/exchangeInfo"): other}) as url:
        found = findings(url)
    assert f"WARNING: ETHUSDT {words}" in found["symbols"].found.replace("is CURRENT_QUARTER in USDT, ", "")
    assert all(finding.ok for finding in found.values())
    assert found["margin"].found.endswith("read back for 1 symbols")


def test_a_symbol_that_is_not_listed_is_refused_and_nothing_is_tried_with_facts_that_were_not_read(venue):
    found = findings(venue.url, (*SYMBOLS, "NOSUCHUSDT"))
    assert (found["symbols"].ok, found["symbols"].found) == (False, "NOSUCHUSDT is not listed")
    assert not found["stops"].ok


def test_a_symbol_whose_filters_can_not_be_read_is_refused(venue):
    def bare(said):
        return {**said, "symbols": [{**row, "filters": row["filters"][1:]} for row in said["symbols"]]}

    with lying(venue.url, {("GET", "/fapi/v1/exchangeInfo"): bare}) as url, open_exchange(Mode.SIM, url=url) as ours:
        with pytest.raises(Refused, match="BTCUSDT could not be read"):
            ours.instruments(["BTCUSDT"])
        with pytest.raises(Refused, match="NOSUCHUSDT is not listed"):
            ours.instruments(["NOSUCHUSDT"])


def test_a_stop_that_is_not_there_when_it_is_read_back_is_refused(venue):
    assert "read back as None" in refusal(venue, "v1/openAlgoOrders", [], "stops")


def test_wrong_keys_are_refused_at_the_first_step_that_needs_them():
    faults = Faults()
    with served(faults=faults) as venue, open_exchange(Mode.SIM, url=venue.url) as ours:
        faults.add([fault("key_refused", on="* v[123]/a*|* v1/[lm]*", times=None)])
        found = {finding.step: finding for finding in ours.preflight(SYMBOLS, 5, "isolated")}
    assert found["clock"].ok
    assert found["permissions"].found.startswith("-2015")


def test_a_venue_that_is_not_there_is_said_so_and_nothing_else_is_tried():
    with served() as venue:
        ours = open_exchange(Mode.SIM, url=venue.url)
    found = list(ours.preflight(SYMBOLS, 5, "isolated"))
    ours.close()
    assert [(finding.step, finding.ok) for finding in found] == [("reachable", False)]


def test_a_step_that_is_not_answered_is_asked_for_again_while_there_is_patience():
    silent = [
        fault("unavailable", on="GET v1/accountConfig", times=5),
        fault("empty", on="POST v1/leverage", times=2),
        fault("unanswered", on="POST v1/algoOrder", executes=False),
    ]
    for patience_s, amiss in ((0.0, {"permissions", "margin", "stops"}), (20.0, set())):
        faults = Faults()
        with served(faults=faults, times=1000) as venue, open_exchange(Mode.SIM, url=venue.url, deadline_s=0.4) as ours:
            faults.add(silent)
            found = list(ours.preflight(SYMBOLS, 7, "isolated", Again(patience_s)))
        assert {finding.step for finding in found if not finding.ok} == amiss


def test_a_clock_may_be_a_little_off():
    assert "worth a look" in clock_words(-1_500)
    with pytest.raises(Untrusted, match="5200 ms ahead"):
        clock_words(5_200)


def test_a_key_that_may_withdraw_is_warned_of():
    assert "withdraw" in key_words({"enableWithdrawals": True, "ipRestrict": True})


@given(mark=st.floats(0.01, 100_000), symbol=st.sampled_from(SYMBOLS))
def test_the_stop_that_is_tried_out_is_far_off_and_just_large_enough(mark, symbol):
    instrument = LISTED[symbol]
    stop = trial_stop(instrument, mark, T0, 0.0)
    assert float(stop.trigger) >= 1.29 * mark
    assert stop.trigger % instrument.tick == stop.quantity % instrument.lot == 0
    assert float(stop.quantity) * mark >= float(instrument.min_notional) * (1 - 1e-6)
    assert (
        stop.quantity - instrument.lot < Decimal(float(instrument.min_notional) / mark)
        or stop.quantity == instrument.lot
    )


def test_candidates_are_those_that_trade_now_and_are_as_old_as_their_first_bar(venue):
    def settling(said):
        return {
            **said,
            "symbols": [
                {**row, "status": "SETTLING"} if row["symbol"] == "ETHUSDT" else row for row in said["symbols"]
            ],
        }

    with (
        lying(venue.url, {("GET", "/fapi/v1/exchangeInfo"): settling}) as url,
        open_exchange(Mode.SIM, url=url) as ours,
    ):
        assert ours.trading(("NEWUSDT", *reversed(SYMBOLS))) == ("BTCUSDT",)
        assert ours.first_closes(SYMBOLS, "1h") == dict.fromkeys(SYMBOLS, T0 + HOUR)
        assert ours.first_closes(SYMBOLS, "1d") == dict.fromkeys(SYMBOLS, T0 + 24 * HOUR)
