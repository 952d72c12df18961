"""Numbers as people read them: headline cards and tables, as HTML for a notebook and its report.

Signs are written, units stand in captions or heads, and what is unknown is a dash, never a zero. A table shows its
first rows and says how many there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Protocol

import pandas as pd

from qtlib.report.charts import profit_by
from qtlib.report.columns import Tables
from qtlib.report.markup import Html, cards, listing, sentence, table
from qtlib.report.metrics import Metrics
from qtlib.report.names import exit_name, key_name, reason_name, rule_name
from qtlib.report.retold import retold
from qtlib.report.words import UNKNOWN, day, moment, number, percent, price, say, signed


def headline(metrics: Metrics, quote: str = "USDT") -> Html:
    """The few numbers one asks for first, each with what it must be read against."""
    m = metrics
    from_to = f"{_money(m['start_equity_quote'])} → {_money(m['final_equity_quote'])} {quote}"
    needed = say("break-even at {rate}, net of costs", rate=percent(m["breakeven_win_rate_frac"]))
    exposed = say("in {bars} bars, {share} of them exposed", bars=_count(m["bars"]), share=percent(m["exposure_frac"]))
    ratios = say(
        "daily, 365 d; Sortino {sortino}, Calmar {calmar}", sortino=number(m["sortino"]), calmar=number(m["calmar"])
    )
    costs = say(
        "{quote} fees; slippage {slippage}, funding {funding}",
        quote=quote,
        slippage=signed(m["slippage_quote"]),
        funding=signed(m["funding_quote"]),
    )
    opened = say("{quote}, closed trades; {open} open", quote=quote, open=signed(m["open_pnl_quote"]))
    each = say("{amount} {quote} a trade", amount=signed(m["expectancy_quote"]), quote=quote)
    shown = (
        (say("Return"), percent(m["return_frac"], sign=True), from_to),
        (say("Net P&L"), signed(m["net_pnl_quote"]), opened),
        (say("Max drawdown"), percent(m["max_drawdown_frac"]), say("of peak equity")),
        (say("Trades"), _count(m["trades"]), exposed),
        (say("Win rate"), percent(m["win_rate_frac"]), needed),
        (say("Profit factor"), number(m["profit_factor"]), say("won ÷ lost, net")),
        (say("Expectancy"), number(m["expectancy_r"], "+.2f", " R"), each),
        ("Sharpe", number(m["sharpe"]), ratios),
        (say("Costs"), _money(m["fees_quote"]), costs),
        (say("Longest without stop"), number(m["naked_seconds_max"], ",.1f", " s"), say("of any open position")),
    )
    return cards(shown)


def trades_table(tables: Tables, first: int = 50, quote: str = "USDT") -> Html:
    """The first exits, in the order of their closing."""
    t = tables.trades
    unit = f"\n[{quote}]"
    money = (say("Net P&L") + unit, say("of\nnotional"), "R", say("Fees") + unit, say("Funding") + unit)
    deal = (say("Exit, UTC"), say("Symbol"), say("Side"), say("Quantity"), say("Entry"), say("Exit"))
    heads = (*deal, *money, say("Worst"), say("Best"), say("Why"))
    rows = [
        (
            moment(r["exit_ts"].to_pydatetime()),
            r["symbol"],
            say(r["side"]),
            number(r["quantity"], ",.6g"),
            price(r["entry_price"]),
            price(r["exit_price"]),
            signed(r["pnl_quote"]),
            percent(r["pnl_frac"], sign=True),
            number(r["r_multiple"], "+.2f"),
            _money(r["fees_quote"]),
            signed(r["funding_quote"]),
            percent(r["mae_frac"], sign=True),
            percent(r["mfe_frac"], sign=True),
            exit_name(r["exit_reason"]),
        )
        for r in t.head(first).to_dict("records")
    ]
    return table(say("Trades: exits in order") + _of(len(rows), len(t)), heads, rows, words={0, 1, 2, 13})


def refusals_table(tables: Tables) -> Html:
    """Why no trade: how often each reason refused a candidate, by symbol."""
    refused = tables.decisions[tables.decisions.action == "refused"]
    rule = refused.rule.map(lambda name: f" ({rule_name(name)})" if name else "")
    why = refused.reason.map(reason_name) + rule
    counts = pd.crosstab(why, refused.symbol) if len(refused) else pd.DataFrame()
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index] if len(counts) else counts
    rows = [
        (reason, *(_count(n) if n else UNKNOWN for n in row), _count(row.sum()))
        for reason, row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    candidates = len(tables.decisions)
    caption = say(
        "Why no trade: candidates refused, by reason and symbol ({refused} of {candidates})",
        refused=_count(len(refused)),
        candidates=_count(candidates),
    )
    return table(caption, (say("Reason"), *counts.columns, say("All")), rows, words={0})


def universe_table(tables: Tables) -> Html:
    """Who may be traded at the end, since when, and why the other candidates may not."""
    universe = tables.state.universe
    if universe is None:
        return Html(f"<p>{say('Every symbol that the settings name may be traded.')}</p>")
    members = [(symbol, moment(since), "") for symbol, since in sorted(universe.members.items())]
    others = [(symbol, UNKNOWN, rule_name(why)) for symbol, why in sorted(universe.out.items())]
    caption = say(
        "The universe since {when}: {count} symbols are in", when=moment(universe.ts), count=_count(len(members))
    )
    heads = (say("Symbol"), say("In since [UTC]"), say("Why not"))
    return table(caption, heads, [*members, *others], words={0, 1, 2})


def limits_table(tables: Tables, max_gross_exposure: float, max_positions: int, quote: str = "USDT") -> Html:
    """How near the limits came: at the end, and at their nearest."""
    s, account = tables.summary, tables.state.account
    gross = float(sum(p.cost for p in account.positions.values()))
    most = float(s.max_gross_exposure)
    rows = [
        _near(f"{say('Gross exposure')} [{quote}]", gross, most, max_gross_exposure, ",.2f"),
        _near(say("Open positions"), len(account.positions), s.max_open_positions, max_positions, ",d"),
    ]
    heads = ("", say("At the\nend"), say("Highest"), say("Limit"), say("Highest\nof limit"))
    return table(say("Exposure and limits: notional at entry price, at any instant"), heads, rows, words={0})


def pnl_table(tables: Tables, by: str, quote: str = "USDT") -> Html:
    """The numbers of `charts.pnl_by`; hours without an exit are left out."""
    sums = profit_by(tables, by)
    sums = sums[sums.exits > 0]
    keys = [f"{k:02d}" if by == "hour" else exit_name(str(k)) if by == "exit_reason" else str(k) for k in sums.index]
    rows = [
        (key, _count(exits), signed(pnl), signed(pnl / exits))
        for key, exits, pnl in zip(keys, sums.exits, sums.pnl_quote, strict=True)
    ]
    unit, name = f"\n[{quote}]", key_name(by)
    heads = (name[0].upper() + name[1:], say("Exits"), say("Net P&L") + unit, say("an exit") + unit)
    return table(say("Net P&L by {what}", what=name), heads, rows, words={0})


def periods_table(tables: Tables, quote: str = "USDT") -> Html:
    """Equity by UTC day, or by month where there are more than 31 days."""
    equity = tables.equity
    ended = equity.ts - pd.Timedelta(microseconds=1)  # a bar that closes at midnight ends the day before it
    days = ended.dt.strftime("%Y-%m-%d")
    period = days if days.nunique() <= 31 else ended.dt.strftime("%Y-%m")
    sums = equity.groupby(period).agg({"equity_quote": "last", "drawdown_frac": "max", "gross_exposure_quote": "max"})
    change = sums.equity_quote.diff().fillna(sums.equity_quote - float(tables.summary.start_equity))
    rows = [
        (_period(str(key)), _money(end), signed(by), percent(down), _money(gross))
        for key, end, by, down, gross in zip(
            sums.index, sums.equity_quote, change, sums.drawdown_frac, sums.gross_exposure_quote, strict=True
        )
    ]
    unit = f"\n[{quote}]"
    sums_heads = (say("Equity") + unit, say("Change") + unit, say("Deepest\ndrawdown"), say("Exposure, highest") + unit)
    caption = say("Equity by day") if period is days else say("Equity by month")
    return table(caption, ("UTC", *sums_heads), rows, words={0})


def findings_table(findings: Iterable[tuple[str, bool, str]]) -> Html:
    """What a start-up found, step by step."""
    rows = [
        (escape(retold(step)), say("ok") if ok else say("NO ENTRIES"), sentence(found)) for step, ok, found in findings
    ]
    return listing(say("What the start-up found"), (say("Step"), "", say("Found")), rows, words={0, 1, 2})


def bars_table(bars: Mapping[str, pd.DataFrame]) -> Html:
    """What was traded on: the bars of each symbol, as they were heard (`tables.bars`)."""
    rows = [
        (symbol, _count(len(frame)), *(moment(frame.index[at].to_pydatetime()) for at in (0, -1)))
        for symbol, frame in sorted(bars.items())
    ]
    heads = (say("Symbol"), say("Bars"), say("First [UTC]"), say("Last [UTC]"))
    return table(say("Bars that were heard"), heads, rows, words={0})


class Told(Protocol):
    """What there is of a market, and how good it is, in words (`market.report()`)."""

    @property
    def title(self) -> str: ...
    @property
    def rows(self) -> Sequence[Sequence[str]]: ...
    @property
    def remarks(self) -> Sequence[str]: ...


def market_table(told: Told) -> Html:
    """What was traded on: a row a symbol, and what else should be known of its bars."""
    counts = (say("Missing"), say("No trade"), say("Not usable"), say("Marks"), say("Fundings"))
    heads = (say("Symbol"), say("Bars"), say("First close\n[UTC]"), say("Last close\n[UTC]"), *counts)
    rows = (tuple(map(retold, row)) for row in told.rows)
    remarks = "".join(f"<li>{escape(retold(remark))}</li>" for remark in told.remarks)
    return Html(table(retold(told.title), heads, rows, words={0}) + (f"<ul>{remarks}</ul>" if remarks else ""))


def simulated(words: str = "") -> Html:
    """The strip that makes a simulated market unmistakable."""
    said = words or say("No real prices, no real money.")
    return Html(f'<p class="qt-strip qt-simulated"><strong>{say("SIMULATED MARKET")}</strong> {escape(said)}</p>')


def _near(name: str, now: float, most: float, limit: float, form: str) -> tuple[str, ...]:
    return name, *(number(value, form) for value in (now, most, limit)), percent(most / limit if limit else None)


def _of(shown: int, total: int) -> str:
    if shown == total:
        return say(" (all {total})", total=_count(total))
    return say(" (first {shown} of {total}; the rest is in trades.parquet)", shown=_count(shown), total=_count(total))


def _money(value: float | None) -> str:
    return number(value, ",.2f")


def _period(key: str) -> str:
    """A day as the language writes it; a month as it is."""
    return day(datetime.fromisoformat(f"{key}T00:00:00+00:00")) if len(key) > len("2026-01") else key


def _count(value: float | None) -> str:
    return number(value, ",d")
