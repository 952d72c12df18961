"""Faults of the market: what they make of the steps to come, of the listing, and of positions.

They act when a step is about to be lived through, and through nothing but what happens at venues anyway: other bars,
another listing, a position closed against somebody else's. So whatever they do, the account's sums hold. What is said
of a listing holds from the step on at which the fault acts, until the first step at which it does not.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from qtlib.domain.market import Bar, Step
from qtlib.exchanges.simulated.book import View
from qtlib.exchanges.simulated.faults import Fault, Faults, Place
from qtlib.exchanges.simulated.venue import SimulatedExchange

FARTHEST = 100.0  # times: how far a mark price goes to find the end of a position


class Ahead(NamedTuple):
    """One symbol's part of a step, before it is lived through."""

    bar: Bar
    mark: Bar | None
    rate_frac: float | None  # of funding
    next: float | None


class RoughMarket:
    """Between a venue and the steps it is to live through."""

    def __init__(self, engine: SimulatedExchange, faults: Faults) -> None:
        self._engine, self._faults = engine, faults
        self._listed = dict(engine.instruments)
        self._halted = set(engine.view.suspended)  # until they trade again
        self._met: Step | None = None

    def meet(self, step: Step) -> Step:
        """`step` as the faults make it, and what they do to the venue before it; asked again, the same and no more."""
        if not self._faults.armed and self._engine.instruments == self._listed and not self._engine.view.suspended:
            return step
        if self._met is None or self._met.ts != step.ts:
            self._met = self._struck(step)
        return self._met

    def _struck(self, step: Step) -> Step:
        bars, marks, funding, nexts = dict(step.bars), dict(step.marks), dict(step.funding), dict(step.nexts)
        self._halted -= {symbol for symbol, bar in bars.items() if bar.volume > 0}
        for symbol in sorted(self._listed):
            acting = self._faults.acting(Place.STEP, symbol)
            self._relist(symbol, acting)
            bar, mark = bars.pop(symbol, None), marks.pop(symbol, None)
            rate, after = funding.pop(symbol, None), nexts.pop(symbol, None)
            if bar is None or symbol in self._engine.view.suspended:
                continue
            ahead = self._bent(symbol, Ahead(bar, mark, rate, after), acting)
            bars[symbol] = ahead.bar
            marks |= {} if ahead.mark is None else {symbol: ahead.mark}
            funding |= {} if ahead.rate_frac is None else {symbol: ahead.rate_frac}
            nexts |= {} if ahead.next is None else {symbol: ahead.next}
        return Step(step.ts, bars, marks, funding, nexts)

    def _bent(self, symbol: str, ahead: Ahead, acting: list[Fault]) -> Ahead:
        position = self._engine.account.positions.get(symbol)
        if position:
            acting = acting + self._faults.acting(Place.HELD, symbol)
            for its in acting:
                if its.kind == "adl" and symbol in self._engine.account.positions:
                    self._engine.deleverage(symbol, Decimal(str(its.frac)))
        sign = 0 if position is None else 1 if position.quantity > 0 else -1
        for its in acting:
            if bend := _BENDS.get(its.kind):
                ahead = bend(ahead, its, sign, symbol, self._engine.view)
        return ahead

    def _relist(self, symbol: str, acting: list[Fault]) -> None:
        """The listing as it was, but for what acts on it now."""
        instrument = self._listed[symbol]
        for its in acting:
            if its.kind == "filters":
                instrument = replace(instrument, **{its.what: getattr(instrument, its.what) * its.factor})
        settling = symbol in self._halted or any(its.kind == "settling" for its in acting)
        view = self._engine.view
        if instrument != view.instruments[symbol] or settling != (symbol in view.suspended):
            self._engine.relist(instrument, suspended=settling)


# --- what a step becomes, of one symbol; `sign` is that of the position held ---------------------------------


def _thin(ahead: Ahead, its: Fault, sign: int, symbol: str, view: View) -> Ahead:
    most = its.lots * float(view.instruments[symbol].lot) / view.conduct.max_volume_share_frac
    return ahead._replace(bar=ahead.bar._replace(volume=min(ahead.bar.volume, most)))


def _gap(ahead: Ahead, its: Fault, sign: int, symbol: str, view: View) -> Ahead:
    times = 1 - sign * its.frac
    mark, after = ahead.mark, ahead.next
    return ahead._replace(
        bar=_scaled(ahead.bar, times), mark=mark and _scaled(mark, times), next=None if after is None else after * times
    )


def _through_its_end(ahead: Ahead, its: Fault, sign: int, symbol: str, view: View) -> Ahead:
    mark = ahead.mark or ahead.bar
    end = mark._replace(low=mark.low / FARTHEST) if sign > 0 else mark._replace(high=mark.high * FARTHEST)
    return ahead._replace(mark=end)


def _settled(ahead: Ahead, its: Fault, sign: int, symbol: str, view: View) -> Ahead:
    return ahead._replace(rate_frac=sign * its.frac)


_BENDS: Mapping[str, Callable[[Ahead, Fault, int, str, View], Ahead]] = {
    "partial_fills": _thin,
    "gap": _gap,
    "liquidation": _through_its_end,
    "funding": _settled,
}


def _scaled(bar: Bar, times: float) -> Bar:
    return bar._replace(open=bar.open * times, high=bar.high * times, low=bar.low * times, close=bar.close * times)
