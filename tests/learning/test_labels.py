"""A label is what came of the trade: held to the event loop, and known no earlier than its end."""

import time
from dataclasses import dataclass, fields, replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from builders import T0, a_panel, beliefs
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import HOUR_US, a_panel_of, a_quiet_panel, wild_panels

from qtlib.domain.events import Filled, FundingPaid, OrderRequested
from qtlib.domain.market import Instrument
from qtlib.domain.orders import OrderType
from qtlib.engine.backtest import backtest
from qtlib.engine.feeds import Past
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.learning.features import true_range_frac
from qtlib.learning.labels import age_weights, labels, settlements, uniqueness
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import Costs, ExitParams

FINE = Instrument(
    "BTCUSDT", Decimal("1e-9"), Decimal("1e-6"), price_band_frac=Decimal("0.9"), taker_fee_frac=Decimal("0.0005")
)
CONFIDENCE, STRENGTH = 0.65, 0.5
COSTS = Costs(taker_fee_frac=0.0005, slippage_frac=0.0002)
ANY = {"min_target_atr": 0.0, "min_stop_atr": 0.0, "min_cost_multiple": 0.0}  # nothing is too close to be traded

exits = st.one_of(
    st.builds(ExitParams, profile=st.just("static"), **{k: st.just(v) for k, v in ANY.items()}),
    st.builds(
        ExitParams,
        profile=st.just("one_r"),
        time_stop_s=st.sampled_from([7200.0, 40_000.0]),
        partial_frac=st.sampled_from([0.3, 1.0]),
        ratchet_step_frac=st.sampled_from([0.0, 0.1, 0.7]),
        **{k: st.just(v) for k, v in ANY.items()},
    ),
    st.builds(ExitParams, profile=st.just("seed"), **{k: st.just(v) for k, v in ANY.items()}),
)


@st.composite
def markets(draw, bars=100):
    """Bars that jump and gap, and funding every eight hours."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vol = draw(st.sampled_from([0.002, 0.006, 0.02]))
    change = rng.normal(0, vol, bars) + (rng.random(bars) < 0.05) * rng.normal(0, 6 * vol, bars)
    close = 100.0 * np.exp(np.cumsum(change))
    gap = rng.normal(0, draw(st.sampled_from([0.0, 0.3, 2.0])) * vol, bars)
    opened = np.r_[100.0, close[:-1]] * np.exp(gap)
    high = np.maximum(opened, close) * (1 + vol * rng.exponential(0.5, bars))
    low = np.minimum(opened, close) * (1 - np.minimum(vol * rng.exponential(0.5, bars), 0.5))
    index = pd.date_range(T0, periods=bars + 1, freq="1h", name="ts")[1:]
    frame = pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": 1e9}, index=index)
    settled = index[index.hour % 8 == 0]
    return frame, pd.Series(rng.normal(0, 0.002, len(settled)), index=settled)


@dataclass(frozen=True)
class Once:
    """Believes in one direction at a few bars, and nothing anywhere else."""

    bars: tuple[int, ...]
    sign: int
    lookback: int = 1
    name: str = "once"

    def signals(self, panel):
        told = beliefs(panel, self.sign * STRENGTH, CONFIDENCE)
        there = np.full(panel.close.shape, np.nan)
        there[:, list(self.bars)] = 1.0
        return told._replace(score=told.score * there, volatility_frac=true_range_frac(panel, 5))


def lived(frame, funding, strategy, params):
    """(net outcome of entry notional, bar of the last fill) of each trade that the event loop made."""
    rules = Rules(
        {"BTCUSDT": FINE},
        SizingParams(base_notional=200_000.0, entry_slippage_frac=0.3, leverage=1),
        RiskLimits(
            **dict.fromkeys(("max_notional_per_trade", "max_notional_per_symbol", "max_gross_exposure"), 1e9),
            **dict.fromkeys(("max_net_exposure", "max_cluster_exposure", "max_leverage"), 1e9),
            **dict.fromkeys(("max_daily_loss_frac", "max_drawdown_frac", "max_day_fees_frac"), 1.0),
            drawdown_ladder=(),
            max_losses_in_row=10**6,
            cooldown_s=0.0,
        ),
        params,
        COSTS,
    )
    conduct = Conduct(slippage_frac=COSTS.slippage_frac, max_volume_share_frac=1.0, leverage=1)
    venue = SimulatedExchange({"BTCUSDT": FINE}, Decimal(10**8), conduct)
    journal = backtest(Past({"BTCUSDT": frame}, funding={"BTCUSDT": funding}), strategy, rules, venue)
    types, trades, held, net, notional = {}, [], Decimal(0), 0.0, 0.0
    for _, event in journal.events():
        if isinstance(event, OrderRequested):
            types[event.intent.client_id] = event.intent.type
        elif isinstance(event, FundingPaid):
            net += float(event.amount)
        elif isinstance(event, Filled):
            fill = event.fill
            opens, held = not held, held + fill.side.sign * fill.quantity
            cost = float(fill.quantity * fill.price)
            net = (0.0 if opens else net) - fill.side.sign * cost - float(fill.fee)
            notional = cost if opens else notional
            if not held:
                bar = frame.index.get_loc(fill.ts)  # at market it is filled at the next bar's open
                trades.append((net / notional, bar + (types[fill.client_id] is OrderType.MARKET)))
    return trades


@given(market=markets(), params=exits, sign=st.sampled_from([+1, -1]), first=st.integers(5, 20))
@settings(max_examples=40)
def test_a_label_is_what_the_event_loop_makes_of_the_trade(market, params, sign, first):
    frame, funding = market
    panel = a_panel(frame)
    micros = funding.index.as_unit("us").asi8
    settled = settlements(panel, {"BTCUSDT": (micros, funding.to_numpy())})
    volatility = true_range_frac(panel, 5)
    told = labels(panel, volatility, params, COSTS, settled_frac=settled, confidence=CONFIDENCE, strength=STRENGTH)
    frac, end = (told.long_frac, told.long_end) if sign > 0 else (told.short_frac, told.short_end)
    entries = []
    at = first
    while at < len(panel) and end[0, at] >= 0:
        entries.append(at)
        at = end[0, at]
    trades = lived(frame, funding, Once(tuple(entries), sign), params)
    assert [bar for _, bar in trades] == [end[0, at] for at in entries]
    assert [net for net, _ in trades] == pytest.approx([frac[0, at] for at in entries], abs=2e-7)


def test_the_test_of_the_loop_sees_every_kind_of_end():
    """What the law above is worth: stops, gaps, targets, trails, breakeven and time all end some of its trades."""
    panel = a_quiet_panel(bars=3000, seed=4)
    volatility = true_range_frac(panel, 14)
    told = labels(panel, volatility, ExitParams(profile="one_r", time_stop_s=40_000.0), COSTS)
    lasted = told.long_end - np.arange(3000)
    assert {1, 2, 12, 13} <= set(lasted[told.long_end >= 0].tolist())
    assert lasted[told.long_end >= 0].max() > 14  # the partial was taken, and the rest ran on
    r = told.long_r[told.long_end >= 0]
    assert r.min() < -1.0
    assert r.max() > 1.5
    assert ((r > 0.25) & (r < 0.35)).any()  # a partial, then breakeven


everywhere = st.sampled_from([ExitParams(profile=p) for p in ("one_r", "seed", "static")])


def same(one, other):
    return np.array_equal(one, other, equal_nan=True)


@given(panel=wild_panels(min_bars=2, max_bars=200), params=everywhere, share=st.floats(0, 1))
@settings(max_examples=40)
def test_a_label_reads_nothing_beyond_its_end(panel, params, share):
    known = 1 + int(share * (len(panel) - 1))
    whole = labels(panel, true_range_frac(panel, 14), params, COSTS)
    past = panel.between(0, known)
    told = labels(past, true_range_frac(past, 14), params, COSTS)
    pairs = {"long_frac": "long_end", "long_r": "long_end", "short_frac": "short_end", "short_r": "short_end"}
    pairs |= {"favourable_frac": "excursion_end", "adverse_frac": "excursion_end"}
    for value, end in pairs.items():
        ends = getattr(whole, end)[:, :known]
        there = (ends >= 0) & (ends < known)
        assert same(getattr(told, end), np.where(there, ends, -1))
        assert same(getattr(told, value), np.where(there, getattr(whole, value)[:, :known], np.nan))


@given(panel=wild_panels(max_bars=200), params=everywhere)
@settings(max_examples=20)
def test_a_label_has_an_end_after_its_decision_or_none_and_no_value(panel, params):
    told = labels(panel, true_range_frac(panel, 14), params, COSTS)
    column = np.broadcast_to(np.arange(len(panel)), panel.close.shape)
    for value, end in ((told.long_frac, told.long_end), (told.short_r, told.short_end)):
        assert same(np.isnan(value), end < 0)
        assert (end[end >= 0] > column[end >= 0]).all()
        assert not np.isnan(panel.close[np.nonzero(end >= 0)[0], end[end >= 0]]).any()
    moved = told.excursion_end >= 0
    assert (told.favourable_frac[moved] >= 0).all()
    assert (told.adverse_frac[moved] >= 0).all()


@given(panel=wild_panels(min_bars=30, max_bars=150), params=everywhere)
@settings(max_examples=15)
def test_a_label_has_no_unit(panel, params):
    volatility = true_range_frac(panel, 14)
    told = labels(panel, volatility, params, COSTS)
    larger = replace(panel, **{name: getattr(panel, name) * 2.0**20 for name in ("open", "high", "low", "close")})
    other = labels(larger, volatility, params, COSTS)
    assert all(same(getattr(told, f.name), getattr(other, f.name)) for f in fields(told))


def test_excursions_are_those_of_the_bars_after_the_decision():
    closes = np.array([[100.0, 100.0, 104.0, 97.0, 100.0, 100.0]])
    panel = replace(a_panel_of(closes), high=closes + 1.0, low=closes - 1.0, open=closes[:, [0, 0, 1, 2, 3, 4]])
    told = labels(panel, np.full((1, 6), 0.01), ExitParams(time_stop_s=7200.0), COSTS)
    assert told.excursion_end.tolist() == [[2, 3, 4, 5, -1, -1]]
    assert told.favourable_frac[0, :2].tolist() == pytest.approx([0.05, 0.05])
    assert told.adverse_frac[0, :2].tolist() == pytest.approx([0.01, 0.04])
    assert told.adverse_frac[0, 2] == pytest.approx(8 / 104)


def test_funding_is_what_was_settled_while_it_was_held():
    panel = replace(a_panel_of(np.full((1, 40), 100.0), start=24 * 8), funding_frac=np.full((1, 40), 0.001))
    volatility = np.full((1, 40), 0.01)
    params = ExitParams(time_stop_s=7200.0)
    paid = labels(panel, volatility, params, COSTS)
    free = labels(panel, volatility, params, COSTS, settled_frac=np.zeros((1, 40)))
    hours = panel.times // HOUR_US
    for at in range(30):
        held = hours[at + 1 : paid.long_end[0, at]]  # at the close of its last bar nothing is held any more
        dues = 0.001 * (held % 8 == 0).sum()
        assert free.long_frac[0, at] - paid.long_frac[0, at] == pytest.approx(dues, rel=1e-3)
        assert paid.short_frac[0, at] - free.short_frac[0, at] == pytest.approx(dues, rel=1e-3)


def test_settlements_stand_at_the_first_close_not_before_them():
    panel = a_panel_of(np.full((2, 5), 100.0), ("BTCUSDT", "ETHUSDT"), start=100)
    times = HOUR_US * np.array([90, 101, 102, 110]) - np.array([0, 5, 0, 0])
    settled = settlements(panel, {"BTCUSDT": (times, np.array([0.1, 0.2, 0.3, 0.4]))})
    assert settled.tolist() == [[0.1, 0.2, 0.3, 0.0, 0.0], [0.0] * 5]


def test_two_years_of_ten_symbols_are_labelled_at_once():
    panel = a_quiet_panel(bars=43_750)
    volatility = true_range_frac(panel, 14)
    labels(panel.between(0, 100), volatility[:, :100], ExitParams(), COSTS)
    began = time.process_time()
    labels(panel, volatility, ExitParams(), COSTS)
    assert time.process_time() - began < 1.0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=20))
@settings(max_examples=40)
def test_uniqueness_is_the_mean_share_of_the_bars_a_label_lasts(spans):
    start = np.array([begun for begun, _ in spans])
    end = start + np.array([lasted for _, lasted in spans])
    at_once = [sum(a < bar <= b for a, b in zip(start, end, strict=True)) for bar in range(60)]
    expected = [np.mean([1 / at_once[bar] for bar in range(a + 1, b + 1)]) for a, b in zip(start, end, strict=True)]
    assert uniqueness(start, end, 60) == pytest.approx(expected)


def test_a_label_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValueError, match="row 1 is of 7 and ends at 7"):
        uniqueness(np.array([1, 7]), np.array([4, 7]), 10)


def test_age_halves_what_a_label_counts():
    assert age_weights(np.array([10, 110, 210]), 100.0).tolist() == [0.25, 0.5, 1.0]
    assert age_weights(np.array([], dtype=np.int64), 100.0).tolist() == []
