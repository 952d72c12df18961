"""The calculator: what a trade would bring and cost, from levels that one types or takes from an open position."""

from html import escape

import ipywidgets as widgets

from qtlib.domain.account import exact
from qtlib.domain.events import FactsRead
from qtlib.panel.sight import Held, Sight
from qtlib.report.retold import retold
from qtlib.report.words import UNKNOWN, number, percent, price, say, signed
from qtlib.rules.calculator import Level, Outlook, outlook

SLIPPAGE_FRAC = 0.0002  # of price, beside the taker's fee


class Calculator:
    """Fields, and below them what they come to."""

    def __init__(self) -> None:
        self._facts: FactsRead | None = None
        self._filled = ""
        self.symbol = widgets.Dropdown(description=say("Symbol"), options=[])
        self.side = widgets.Dropdown(description=say("Side"), options=[(say("LONG"), 1), (say("SHORT"), -1)])
        self.entry = widgets.FloatText(description=say("Entry"))
        self.notional = widgets.FloatText(description=say("Notional"), value=200.0)
        self.leverage = widgets.BoundedIntText(description=say("Leverage"), min=1, max=125, value=5)
        self.stop = widgets.FloatText(description=say("Stop"))
        self.target = widgets.FloatText(description=say("Target"))
        self.result = widgets.HTML()
        self.fields = (self.symbol, self.side, self.entry, self.notional, self.leverage, self.stop, self.target)
        for field in self.fields:
            field.observe(lambda change: self._reckon(), "value")
        self.symbol.observe(lambda change: self._take(change["new"]), "value")
        self._sight: Sight | None = None

    def widget(self) -> widgets.Widget:
        row = widgets.Box(list(self.fields))
        row.add_class("qt-row")
        return widgets.VBox([row, self.result])

    def show(self, sight: Sight) -> None:
        """Fit the symbols to what the session trades; the fields stay as they were typed."""
        self._sight, facts = sight, sight.state.facts
        if facts is None or (facts == self._facts and self._filled):
            return
        self._facts = facts
        options = sorted(facts.instruments)
        if list(self.symbol.options) != options:
            held = [row.symbol for row in sight.positions if row.symbol in options]
            self.symbol.options = options
            self.symbol.value = held[0] if held else options[0]
        self._take(self.symbol.value)

    def _take(self, symbol: str | None) -> None:
        """The levels of the open position in `symbol`; without one, one percent either way of its price."""
        sight, facts = self._sight, self._facts
        if sight is None or facts is None or symbol is None:
            return
        held, last = sight.held(symbol), sight.state.prices.get(symbol)
        if held is None and last is None:
            return
        self._filled = symbol
        self.leverage.value = facts.leverage.get(symbol, 1)
        if held is not None:
            self._fill(1 if held.long else -1, held.entry, abs(held.quantity) * held.entry, *_levels(held))
        elif last is not None:
            sign = int(self.side.value)
            self._fill(sign, last, self.notional.value, last * (1 - sign * 0.01), last * (1 + sign * 0.02))

    def _fill(self, sign: int, entry: float, notional: float, stop: float, target: float) -> None:
        self.side.value = sign
        values = ((self.entry, entry), (self.notional, notional), (self.stop, stop), (self.target, target))
        for field, value in values:
            field.value = float(f"{value:.8g}")

    def _reckon(self) -> None:
        facts, symbol = self._facts, self.symbol.value
        instrument = facts.instruments.get(symbol) if facts and symbol else None
        if instrument is None:
            return
        try:
            found = outlook(
                int(self.side.value),
                self.entry.value,
                self.notional.value,
                self.leverage.value,
                self.stop.value,
                self.target.value,
                instrument.bracket(exact(self.notional.value)),
                float(instrument.taker_fee_frac) + SLIPPAGE_FRAC,
            )
        except ValueError as why:
            self.result.value = f'<p class="qt-bad" role="status">{escape(retold(str(why)))}</p>'
            return
        self.result.value = _shown(found)


def _levels(held: Held) -> tuple[float, float]:
    """Stop and target of a position; where it lies beyond its entry by now, or is gone, what a percent away is."""
    sign = 1 if held.long else -1
    stop = (
        held.stop if held.stop is not None and sign * (held.entry - held.stop) > 0 else held.entry * (1 - sign * 0.01)
    )
    target = held.target if held.target is not None else held.entry * (1 + sign * 0.02)
    return stop, target


def _shown(found: Outlook) -> str:
    heads = ("", say("Price"), say("Move"), "ROI", say("P&L"), say("Net of costs"), "R")
    rows = "".join(_row(name, level) for name, level in ((say("Stop"), found.stop), (say("Target"), found.target)))
    head = "".join(f'<th scope="col">{escape(h)}</th>' if h else "<td></td>" for h in heads)
    liquidation = (
        say("none: backed in full")
        if found.liquidation_price is None
        else f"{price(found.liquidation_price)} ({percent(found.liquidation_frac)})"
    )
    order = "" if found.stop_is_first else f'<p class="qt-bad">{escape(say("Liquidation comes before this stop."))}</p>'
    pairs = (
        (say("Break-even win rate"), percent(found.breakeven_win_rate_frac, ".1f")),
        (say("… net of costs"), percent(found.breakeven_win_rate_net_frac, ".1f")),
        (say("Break-even price"), price(found.breakeven_price)),
        (say("Liquidation"), liquidation),
        (say("Margin"), number(found.margin_quote)),
        (say("Quantity"), number(abs(found.quantity), ",.6g")),
    )
    listed = "".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in pairs)
    name = escape(say("Calculator"))
    return (
        f'<div class="qt-scroll" tabindex="0" role="region" aria-label="{name}"><table class="qt-table qt-calculated" '
        f'aria-label="{name}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{order}'
        f'<dl class="qt-pairs qt-wide">{listed}</dl>'
    )


def _row(name: str, level: Level) -> str:
    cells = (
        price(level.price),
        percent(level.move_frac, sign=True),
        percent(level.roi_frac, ".1f", sign=True),
        signed(level.pnl_quote),
        signed(level.net_quote),
        number(level.r, "+.2f"),
    )
    shown = "".join(f'<td class="qt-number">{escape(cell or UNKNOWN)}</td>' for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{shown}</tr>'
