"""Pictures of a run, from its tables: plotly figures that a phone, a printer and a colour-blind reader can use.

What holds for all: at most `MOST` points a trace, thinned so that every stretch keeps its lowest and highest; axes name
their unit, bars and exposures start at zero, and an axis that does not says so; colours are Okabe and Ito's (2008) and
never the only sign; legends stand below; backgrounds are clear, so that the page decides between light and dark.
`layout.meta["label"]` says in words what is shown: the exporter gives it to screen readers. Beside each picture belongs
its table (`blocks.py`).
"""

from collections.abc import Mapping
from datetime import UTC
from itertools import pairwise
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd

from qtlib.report.columns import Tables
from qtlib.report.figure import Figure, in_parts, when
from qtlib.report.names import exit_name, key_name
from qtlib.report.words import number, percent, say, separators, signed, spoken

MOST = 2_000  # points a trace
SHOWN = 40  # exits that the price chart opens on, where there are more

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8A8F98"
GAIN, LOSS = BLUE, VERMILION


def price(tables: Tables, bars: pd.DataFrame, symbol: str, quote: str = "USDT") -> Figure:
    """Price with entries, exits, and the protective levels that rested while a trade was open.

    `bars` are indexed by their close, with columns high, low and close.
    """
    figure = Figure()
    entries, exits = _entries(tables, symbol), tables.trades[tables.trades.symbol == symbol]
    since = exits.entry_ts.tail(SHOWN).min() if len(exits) > SHOWN else None
    for column, name, more in (
        ("high", say("High"), {"showlegend": False}),
        ("low", say("High to low"), {"fill": "tonexty", "fillcolor": "rgba(138,143,152,0.18)"}),
    ):
        line = {"width": 0.5, "color": "rgba(138,143,152,0.35)"}
        _line(figure, bars[column], name, since=since, line=line, hoverinfo="skip", **more)
    _line(figure, bars.close, say("Close"), since=since, line={"width": 1.3, "color": GREY})

    levels = tables.levels[tables.levels.symbol == symbol]
    for column, name, color, dash in (
        ("stop_price", say("Stop"), VERMILION, "solid"),
        ("take_profit_price", say("Target"), GREEN, "dot"),
    ):
        x, y = _steps(levels, column, bars.index[-1] if len(bars) else None)
        line = {"width": 1.5, "color": color, "dash": dash, "shape": "hv"}
        figure.add_scatter(x=when(x), y=y, name=name, mode="lines", line=line, connectgaps=False)

    for side, mark, color in (("long", "triangle-up", BLUE), ("short", "triangle-down", ORANGE)):
        rows = entries[entries.side == side].tail(MOST)
        told = [f"{say(side)} {q:g} @ {p:g}" for q, p in zip(rows.quantity, rows.entry_price, strict=True)]
        name = say("Entry, long") if side == "long" else say("Entry, short")
        _marks(figure, rows.entry_ts, rows.entry_price, name, mark, color, told)
    shown = exits.tail(MOST)
    whys = zip(shown.exit_reason, shown.pnl_quote, strict=True)
    words = [f"{exit_name(why)}: {signed(pnl)} {quote}" for why, pnl in whys]
    _marks(figure, shown.exit_ts, shown.exit_price, say("Exit"), "x-thin", "#CC79A7", words)

    figure.update_yaxes(title=f"{say('Price')} [{quote}]")
    figure.update_xaxes(tickangle=0)
    label = say(
        "{symbol} price with {entries} entries and {exits} exits, and the stops and targets that rested meanwhile",
        symbol=symbol,
        entries=len(entries),
        exits=len(exits),
    )
    title = say("{symbol}: price, entries, exits, protective levels", symbol=symbol)
    if since is None:
        return finished(figure, title, label, height=460)
    opens = say("(opens on the last {shown} of {exits} exits)", shown=SHOWN, exits=len(exits))
    finished(figure, f"{title} {opens}", label, height=500)
    return _opened_on(figure, bars, levels, since)


def equity(tables: Tables, quote: str = "USDT") -> Figure:
    """Equity above, drawdown from its peak below."""
    frame = tables.equity.set_index("ts")
    figure = in_parts(rows=2, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.06)
    _line(figure, frame.equity_quote, say("Equity"), line={"width": 1.6, "color": BLUE}, row=1)
    start, final = float(tables.summary.start_equity), float(tables.summary.final_equity)
    if len(frame):
        ends, line = [frame.index[0], frame.index[-1]], {"width": 1.2, "color": GREY, "dash": "dash"}
        name = say("Start, {equity}", equity=number(start))
        figure.add_scatter(x=ends, y=[start, start], name=name, mode="lines", line=line, row=1, col=1)
    under = {"fill": "tozeroy", "fillcolor": "rgba(213,94,0,0.22)", "line": {"width": 1.2, "color": VERMILION}}
    _line(figure, -100 * frame.drawdown_frac, say("Drawdown"), row=2, **under)
    figure.update_yaxes(title=f"{say('Equity')} [{quote}]", row=1)
    figure.update_yaxes(title=f"{say('Drawdown')} [%]", rangemode="tozero", row=2)
    label = say(
        "Equity from {start} to {final} {quote}, deepest drawdown {deepest} of the peak",
        start=number(start),
        final=number(final),
        quote=quote,
        deepest=percent(float(frame.drawdown_frac.max())) if len(frame) else say("unknown"),
    )
    title = say("Equity and drawdown (the equity axis does not start at zero)")
    return finished(figure, title, label, height=460)


def exposure(tables: Tables, max_gross_exposure: float, max_positions: int, quote: str = "USDT") -> Figure:
    """What was committed, and how many positions were open, under the limits that held."""
    frame = tables.equity.set_index("ts")
    figure = in_parts(rows=2, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.1)
    rows: tuple[tuple[pd.Series, str, str, float, str], ...] = (
        (
            frame.gross_exposure_quote,
            say("Gross exposure"),
            BLUE,
            max_gross_exposure,
            say("limit {most}", most=f"{number(max_gross_exposure, ',.0f')} {quote}"),
        ),
        (
            frame.open_positions,
            say("Open positions"),
            GREEN,
            float(max_positions),
            say("limit {most}", most=max_positions),
        ),
    )
    for row, (values, name, color, limit, words) in enumerate(rows, 1):
        _line(figure, values, name, line={"width": 1.3, "color": color, "shape": "hv"}, row=row)
        _limit(figure, limit, words, row=row, color=VERMILION)
        top = max(limit, float(values.max()) if len(values) else 0.0)
        figure.update_yaxes(range=[0, top * 1.22], row=row)
    figure.update_yaxes(title=f"{say('Gross')} [{quote}]", row=1)
    figure.update_yaxes(title=say("Positions"), row=2, dtick=max(1, max_positions // 4))
    s = tables.summary
    label = say(
        "Gross exposure at most {gross} of {allowed} {quote} allowed, open positions at most {open} of {most}",
        gross=number(float(s.max_gross_exposure)),
        allowed=number(max_gross_exposure),
        quote=quote,
        open=s.max_open_positions,
        most=max_positions,
    )
    return finished(figure, say("Exposure and its limits"), label, height=400)


def pnl_by(tables: Tables, by: str, quote: str = "USDT") -> Figure:
    """Net P&L of what was closed, by `symbol`, `exit_reason` or `hour` (of the exit, UTC)."""
    sums = profit_by(tables, by)
    figure = Figure()
    name = key_name(by)
    x = [
        f"{key:02d}" if by == "hour" else exit_name(str(key)) if by == "exit_reason" else str(key) for key in sums.index
    ]
    figure.add_bar(
        x=x,
        y=sums.pnl_quote.round(6),
        customdata=sums.exits,
        marker_color=[GAIN if pnl >= 0 else LOSS for pnl in sums.pnl_quote],
        text=None if by == "hour" else [signed(pnl) for pnl in sums.pnl_quote],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}: %{y:+,.2f} " + quote + f"<br>%{{customdata}} {say('exits')}<extra></extra>",
        showlegend=False,
    )
    if sums.exits.sum() == 0:
        nothing(figure, say("no trade was closed"))
    figure.update_yaxes(title=f"{say('Net P&L')} [{quote}]", rangemode="tozero", zeroline=True)
    figure.update_xaxes(
        title=name[0].upper() + name[1:], type="category", tickangle=0 if len(x) <= 4 or by == "hour" else None
    )
    named = x[::4] if by == "hour" else x  # left alone, it names every other
    figure.update_xaxes(tickmode="array", tickvals=named, ticktext=[on_lines(name) for name in named])
    label = say("Net profit and loss by {what}", what=name) + ": "
    label += ", ".join(f"{key} {signed(pnl)}" for key, pnl, n in zip(x, sums.pnl_quote, sums.exits, strict=True) if n)
    return finished(figure, say("Net P&L by {what}", what=name), label, height=320)


def profit_by(tables: Tables, by: str) -> pd.DataFrame:
    """Net P&L and the number of exits by `symbol`, `exit_reason` (largest profit first) or `hour` (all 24, UTC)."""
    trades = tables.trades
    key = trades.exit_ts.dt.hour.rename("hour") if by == "hour" else trades[by]
    grouped = trades.groupby(key).pnl_quote
    sums = pd.DataFrame({"pnl_quote": grouped.sum(), "exits": grouped.count()})
    if by == "hour":
        return sums.reindex(range(24), fill_value=0)
    return sums.sort_values("pnl_quote", ascending=False)


def decimate(values: np.ndarray[Any, Any], most: int = MOST) -> np.ndarray[Any, Any]:
    """Which of `values` to draw: at most `most` of them, among them the first, the last, and each stretch's extremes.

    >>> decimate(np.array([0.0, 1.0, 9.0, 1.0, 0.0, -5.0, 0.0, 1.0]), most=6).tolist()
    [0, 2, 5, 7]
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    keep = {0, n - 1}
    edges = np.linspace(0, n, (most - 2) // 2 + 1).astype(int)
    low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
    for begin, end in pairwise(edges.tolist()):
        keep |= {begin + int(low[begin:end].argmin()), begin + int(high[begin:end].argmax())}
    return np.array(sorted(keep))


# --- drawing ----------------------------------------------------------------------------------------------


def _line(
    figure: Figure, values: pd.Series, name: str, row: int | None = None, since: Any = None, **style: Any
) -> None:
    """A line, half of whose points are kept for the part from `since` on, if that is what one looks at first."""
    numbers = values.to_numpy(dtype=float)
    cut = 0 if since is None else int(values.index.searchsorted(since))
    kept = decimate(numbers)
    if cut:
        kept = np.concatenate([decimate(numbers[:cut], MOST // 2), cut + decimate(numbers[cut:], MOST // 2)])
    place = {} if row is None else {"row": row, "col": 1}
    figure.add_scatter(x=when(values.index[kept]), y=_short(numbers[kept]), name=name, mode="lines", **place, **style)


def _short(numbers: np.ndarray[Any, Any]) -> list[float | None]:
    """Eight significant digits: more than a screen shows, half of what a float spells out."""
    return [None if np.isnan(x) else float(f"{x:.8g}") for x in numbers]


def _marks(figure: Figure, x: pd.Series, y: pd.Series, name: str, symbol: str, color: str, words: list[str]) -> None:
    if x.empty:
        return
    size = 11 if len(x) <= 30 else 8 if len(x) <= 150 else 6
    edge = {"width": 2 if symbol == "x-thin" else 0.5, "color": color if symbol == "x-thin" else "white"}
    marker = {"symbol": symbol, "size": size, "color": color, "line": edge}
    more = f" {say('(the last ones)')}" if len(x) >= MOST else ""
    figure.add_scatter(x=when(x), y=y, name=name + more, mode="markers", marker=marker, text=words, hoverinfo="x+text")


def _opened_on(figure: Figure, bars: pd.DataFrame, levels: pd.DataFrame, since: pd.Timestamp) -> Figure:
    """`figure` showing what happened from `since` on, with buttons to see everything and to come back."""
    seen = bars[bars.index >= since]
    near = levels[levels.ts >= since][["stop_price", "take_profit_price"]].stack()
    low, high = min(seen.low.min(), near.min()), max(seen.high.max(), near.max())
    pad = (high - low) * 0.05
    x, y = [since, seen.index[-1]], [float(low - pad), float(high + pad)]
    figure.update_layout(xaxis_range=x, yaxis_range=y, margin_t=76)
    buttons = [
        {
            "label": say("Last {shown} exits", shown=SHOWN),
            "method": "relayout",
            "args": [{"xaxis.range": x, "yaxis.range": y}],
        },
        {"label": say("All"), "method": "relayout", "args": [{"xaxis.autorange": True, "yaxis.autorange": True}]},
    ]
    menu = {"type": "buttons", "direction": "right", "showactive": False, "buttons": buttons, "font_size": 11}
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 8, "t": 0}}
    figure.update_layout(updatemenus=[{**menu, **place, "bgcolor": "rgba(0,0,0,0)", "bordercolor": GREY}])
    return figure


def _limit(figure: Figure, y: float, words: str, row: int, color: str) -> None:
    """A dashed line across, with its words on it. As shape and annotation of its own axes, it never grows the range."""
    figure.add_hline(y=y, line={"dash": "dash", "width": 1.2, "color": color}, row=row, col=1)
    where = {"x": 0.0, "xref": "x domain" if row == 1 else f"x{row} domain", "yref": "y" if row == 1 else f"y{row}"}
    figure.add_annotation(
        y=y, text=words, showarrow=False, xanchor="left", yanchor="bottom", font={"color": color, "size": 11}, **where
    )


def on_lines(words: str) -> str:
    """A name over several lines, so that those of its neighbours have room on a phone.

    >>> on_lines("part at the target")
    'part at<br>the<br>target'
    """
    return "<br>".join(wrap(words, 8, break_long_words=False))


def nothing(figure: Figure, words: str) -> None:
    """Say in the figure that there is nothing to see."""
    figure.add_annotation(text=words, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")


def _steps(levels: pd.DataFrame, column: str, end: Any) -> tuple[pd.DatetimeIndex, list[float | None]]:
    """A level over time, as corners of steps with a gap where none rested; the latest, where there are too many."""
    rows = levels.tail(MOST // 2)
    x, y = list(rows.ts), _short(rows[column].to_numpy(dtype=float))
    corners: list[tuple[Any, float | None]] = []
    for i, (ts, level) in enumerate(zip(x, y, strict=True)):
        until = x[i + 1] if i + 1 < len(x) else end
        if corners and level is None:
            corners.append((ts, None))
        elif level is not None:
            corners.append((ts, level))
            if until is not None and (i + 1 == len(x) or y[i + 1] is None):
                corners.append((until, level))  # a step is drawn to its end
    return pd.DatetimeIndex([ts for ts, _ in corners], tz=UTC), [level for _, level in corners]


def _entries(tables: Tables, symbol: str) -> pd.DataFrame:
    """One row a trade, open ones included."""
    closed = tables.trades[tables.trades.symbol == symbol]
    columns = ["trade_id", "entry_ts", "entry_price", "side", "quantity"]
    first = closed.groupby("trade_id", sort=False, as_index=False).agg(
        {"entry_ts": "first", "entry_price": "first", "side": "first", "quantity": "sum"}
    )
    trade, position = tables.state.trades.get(symbol), tables.state.account.position(symbol)
    if trade is None:
        return first[columns]
    side = "long" if position.quantity > 0 else "short"
    entry = trade.trade_id, trade.opened, float(position.entry_price), side, float(abs(position.quantity))
    still = pd.DataFrame([entry], columns=columns)
    first = first[first.trade_id != trade.trade_id]
    return pd.concat([first[columns], still], ignore_index=True) if len(first) else still


def finished(figure: Figure, title: str, label: str, height: int) -> Figure:
    """`figure` in the look of all, with what it shows in words."""
    axis: Mapping[str, Any] = {
        "automargin": True,
        "gridcolor": "rgba(138,143,152,0.22)",
        "zerolinecolor": "rgba(138,143,152,0.6)",
        "linecolor": "rgba(138,143,152,0.6)",
        "title_standoff": 8,
        "title_font_size": 12,
    }
    figure.update_xaxes(**axis, showgrid=False, nticks=5)
    figure.update_yaxes(**axis, tickformat=",.8~g")
    figure.update_layout(
        template="none",
        title={"text": title, "font_size": 15, "x": 0, "xanchor": "left", "xref": "paper"},
        meta={"label": label},
        height=height,
        margin={"l": 8, "r": 12, "t": 40, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": "#6B7280"},
        legend={
            "orientation": "h",
            "x": 0,
            "y": -44 / height,
            "yanchor": "top",
            "font_size": 11,
            "traceorder": "normal",
        },
        hoverlabel={"font_family": "system-ui, sans-serif"},
        separators=f"{separators(spoken())[1]}{separators(spoken())[0]}",
        bargap=0.35,
        dragmode="zoom",
    )
    return figure
