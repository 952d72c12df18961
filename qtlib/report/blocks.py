"""Numbers as people read them: headline cards and tables, as HTML for a notebook and its report.

Signs are written, units stand in captions or heads, numbers align right, and what is unknown is a dash, never a zero.
A table shows its first rows and says how many there are; it scrolls within itself, so the page never does sideways.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files

import pandas as pd

from qtlib.report.charts import profit_by
from qtlib.report.metrics import Metrics
from qtlib.report.tables import Tables

UNKNOWN = "–"
STYLE = files("qtlib.report").joinpath("assets", "blocks.css").read_text("utf-8")


class Html(str):
    """Markup that a notebook shows as it is meant."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return f"<style>{STYLE}</style>{self}"


def headline(metrics: Metrics, quote: str = "USDT") -> Html:
    """The few numbers one asks for first, each with what it must be read against."""
    m = metrics
    from_to = f"{_money(m['start_equity_quote'])} → {_money(m['final_equity_quote'])} {quote}"
    needed = f"break-even at {_percent(m['breakeven_win_rate_frac'])}, net of costs"
    exposed = f"in {_count(m['bars'])} bars, {_percent(m['exposure_frac'])} of them exposed"
    other_ratios = f"daily, 365 d; Sortino {_number(m['sortino'])}, Calmar {_number(m['calmar'])}"
    other_costs = f"{quote} fees; slippage {_signed(m['slippage_quote'])}, funding {_signed(m['funding_quote'])}"
    cards = (
        ("Return", _percent(m["return_frac"], signed=True), from_to),
        ("Net P&L", _signed(m["net_pnl_quote"]), f"{quote}, closed trades; {_signed(m['open_pnl_quote'])} open"),
        ("Max drawdown", _percent(m["max_drawdown_frac"]), "of peak equity"),
        ("Trades", _count(m["trades"]), exposed),
        ("Win rate", _percent(m["win_rate_frac"]), needed),
        ("Profit factor", _number(m["profit_factor"]), "won ÷ lost, net"),
        ("Expectancy", _number(m["expectancy_r"], "+.2f", " R"), f"{_signed(m['expectancy_quote'])} {quote} a trade"),
        ("Sharpe", _number(m["sharpe"]), other_ratios),
        ("Costs", _money(m["fees_quote"]), other_costs),
        ("Longest without stop", _number(m["naked_seconds_max"], ",.1f", " s"), "of any open position"),
    )
    shown = "".join(
        f'<div class="qt-card"><dt>{escape(name)}</dt><dd>{_tinted(value)}</dd>'
        f'<dd class="qt-note">{escape(note)}</dd></div>'
        for name, value, note in cards
    )
    return Html(f'<dl class="qt-cards">{shown}</dl>')


def trades_table(tables: Tables, first: int = 50, quote: str = "USDT") -> Html:
    """The first exits, in the order of their closing."""
    t = tables.trades
    money = (f"Net P&L\n[{quote}]", "of\nnotional", "R", f"Fees\n[{quote}]", f"Funding\n[{quote}]")
    heads = ("Exit, UTC", "Symbol", "Side", "Quantity", "Entry", "Exit", *money, "Worst", "Best", "Why")
    rows = [
        (
            f"{r['exit_ts']:%Y-%m-%d %H:%M}",
            r["symbol"],
            r["side"],
            f"{r['quantity']:g}",
            _price(r["entry_price"]),
            _price(r["exit_price"]),
            _signed(r["pnl_quote"]),
            _percent(r["pnl_frac"], signed=True),
            _number(r["r_multiple"], "+.2f"),
            _money(r["fees_quote"]),
            _signed(r["funding_quote"]),
            _percent(r["mae_frac"], signed=True),
            _percent(r["mfe_frac"], signed=True),
            r["exit_reason"].replace("_", " "),
        )
        for r in t.head(first).to_dict("records")
    ]
    return _table(f"Trades: exits in order{_of(len(rows), len(t))}", heads, rows, words={0, 1, 2, 13})


def refusals_table(tables: Tables) -> Html:
    """Why no trade: how often each reason refused a candidate, by symbol."""
    refused = tables.decisions[tables.decisions.action == "refused"]
    rule = refused.rule.where(refused.rule == "", " (" + refused.rule + ")")
    why = (refused.reason + rule).str.replace("_", " ")
    counts = pd.crosstab(why, refused.symbol) if len(refused) else pd.DataFrame()
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index] if len(counts) else counts
    rows = [
        (reason, *(f"{n:,}" if n else UNKNOWN for n in row), f"{row.sum():,}")
        for reason, row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    candidates = len(tables.decisions)
    caption = f"Why no trade: candidates refused, by reason and symbol ({len(refused):,} of {candidates:,})"
    return _table(caption, ("Reason", *counts.columns, "All"), rows, words={0})


def limits_table(tables: Tables, max_gross_exposure: float, max_positions: int, quote: str = "USDT") -> Html:
    """How near the limits came: at the end, and at their nearest."""
    s, account = tables.summary, tables.state.account
    gross = float(sum(p.cost for p in account.positions.values()))
    most = float(s.max_gross_exposure)
    rows = [
        _near(f"Gross exposure [{quote}]", gross, most, max_gross_exposure, ",.2f"),
        _near("Open positions", len(account.positions), s.max_open_positions, max_positions, ",d"),
    ]
    heads = ("", "At the\nend", "Highest", "Limit", "Highest\nof limit")
    return _table("Exposure and limits: notional at entry price, at any instant", heads, rows, words={0})


def pnl_table(tables: Tables, by: str, quote: str = "USDT") -> Html:
    """The numbers of `charts.pnl_by`; hours without an exit are left out."""
    sums = profit_by(tables, by)
    sums = sums[sums.exits > 0]
    name = {"symbol": "Symbol", "exit_reason": "Exit reason", "hour": "Hour [UTC]"}[by]
    keys = [f"{k:02d}" if by == "hour" else str(k).replace("_", " ") for k in sums.index]
    rows = [
        (key, f"{exits:,}", _signed(pnl), _signed(pnl / exits))
        for key, exits, pnl in zip(keys, sums.exits, sums.pnl_quote, strict=True)
    ]
    heads = (name, "Exits", f"Net P&L\n[{quote}]", f"an exit\n[{quote}]")
    return _table(f"Net P&L by {by.replace('_', ' ')}", heads, rows, words={0})


def periods_table(tables: Tables, quote: str = "USDT") -> Html:
    """Equity by UTC day, or by month where there are more than 31 days."""
    equity = tables.equity
    ended = equity.ts - pd.Timedelta(microseconds=1)  # a bar that closes at midnight ends the day before it
    days = ended.dt.strftime("%Y-%m-%d")
    period = days if days.nunique() <= 31 else ended.dt.strftime("%Y-%m")
    sums = equity.groupby(period).agg({"equity_quote": "last", "drawdown_frac": "max", "gross_exposure_quote": "max"})
    change = sums.equity_quote.diff().fillna(sums.equity_quote - float(tables.summary.start_equity))
    rows = [
        (str(key), _money(end), _signed(by), _percent(down), _money(gross))
        for key, end, by, down, gross in zip(
            sums.index, sums.equity_quote, change, sums.drawdown_frac, sums.gross_exposure_quote, strict=True
        )
    ]
    heads = ("UTC", f"Equity\n[{quote}]", f"Change\n[{quote}]", "Deepest\ndrawdown", f"Exposure, highest\n[{quote}]")
    return _table("Equity by " + ("day" if period is days else "month"), heads, rows, words={0})


def findings_table(findings: Iterable[tuple[str, bool, str]]) -> Html:
    """What a start-up found, step by step."""
    rows = [(step, "ok" if ok else "NO ENTRIES", found) for step, ok, found in findings]
    return _table("What the start-up found", ("Step", "", "Found"), rows, words={0, 1, 2})


def bars_table(bars: Mapping[str, pd.DataFrame]) -> Html:
    """What was traded on: the bars of each symbol, as they were heard (`tables.bars`)."""
    rows = [
        (symbol, f"{len(frame):,}", f"{frame.index[0]:%Y-%m-%d %H:%M}", f"{frame.index[-1]:%Y-%m-%d %H:%M}")
        for symbol, frame in sorted(bars.items())
    ]
    return _table("Bars that were heard", ("Symbol", "Bars", "First [UTC]", "Last [UTC]"), rows, words={0})


def simulated(words: str = "No real prices, no real money.") -> Html:
    """The strip that makes a simulated market unmistakable."""
    return Html(f'<p class="qt-strip qt-simulated"><strong>SIMULATED MARKET</strong> {escape(words)}</p>')


# --- markup -----------------------------------------------------------------------------------------------


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: set[int]) -> Html:
    """A table whose columns `words` align left and whose others are numbers; it scrolls, its caption doesn't."""
    kind = ['class="qt-word"' if i in words else 'class="qt-number"' for i in range(len(heads))]
    head = "".join(f'<th scope="col" {k}>{escape(h)}</th>' for h, k in zip(heads, kind, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {k}>{_tinted(cell)}</td>" for cell, k in zip(row, kind, strict=True)) + "</tr>"
        for row in rows
    )
    body = body or f'<tr><td class="qt-word" colspan="{len(heads)}">none</td></tr>'
    name = f'aria-label="{escape(caption)}"'
    return Html(
        f'<figure class="qt-figure"><figcaption>{escape(caption)}</figcaption>'
        f'<div class="qt-scroll" tabindex="0" role="region" {name}><table class="qt-table" {name}>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>"
    )


def _near(name: str, now: float, most: float, limit: float, form: str) -> tuple[str, ...]:
    return name, *(_number(value, form) for value in (now, most, limit)), _percent(most / limit if limit else None)


def _tinted(text: str) -> str:
    """Signed numbers in the colour of their sign, which is written as well."""
    sign = {"+": "qt-gain", "−": "qt-loss"}.get(text[:1])
    return f'<span class="{sign}">{escape(text)}</span>' if sign else escape(text)


def _of(shown: int, total: int) -> str:
    return f" (all {total:,})" if shown == total else f" (first {shown:,} of {total:,}; the rest is in trades.parquet)"


def _number(value: float | None, form: str = ".2f", unit: str = "") -> str:
    """
    >>> _number(-1234.5, "+,.2f"), _number(-0.001, "+,.2f"), _number(None)
    ('−1,234.50', '0.00', '–')
    """
    if value is None or pd.isna(value):
        return UNKNOWN
    text = f"{value:{form}}"
    if not any(digit in "123456789" for digit in text):
        text = text.lstrip("+-")  # nothing has no sign
    return text.replace("-", "−") + unit


def _money(value: float | None) -> str:
    return _number(value, ",.2f")


def _signed(value: float | None) -> str:
    return _number(value, "+,.2f")


def _percent(value: float | None, signed: bool = False) -> str:
    """
    >>> _percent(0.0312, signed=True)
    '+3.12\\xa0%'
    """
    return _number(None if value is None else 100 * value, "+.2f" if signed else ".2f", "\u00a0%")


def _count(value: float | None) -> str:
    return _number(value, ",d")


def _price(value: float) -> str:
    return _number(value, ",.2f" if abs(value) >= 1_000 else ".4f" if abs(value) >= 1 else ".6g")
