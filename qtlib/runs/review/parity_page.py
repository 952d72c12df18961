"""What parity found, as a notebook shows it: cards, pictures and their tables."""

from collections.abc import Hashable, Mapping
from itertools import accumulate

import numpy as np

from qtlib.report import charts
from qtlib.report.charts import BLUE, GAIN, GREY, LOSS
from qtlib.report.figure import Figure
from qtlib.report.markup import Html, cards, listing, table
from qtlib.report.names import cause_name, reason_name, rule_name
from qtlib.report.parity import Cause, Deal, Difference, by_cause
from qtlib.report.words import UNKNOWN, moment, number, percent, say, signed
from qtlib.runs.review.parity import Parity

MOST = 50  # rows of a table


def headline(found: Parity, quote: str = "USDT") -> Html:
    """Whether the session did what the backtest does, in a few numbers."""
    differing = sum(bool(one.parts) for one in found.found)
    total = sum(one.total for one in found.found)
    live, replayed = _sum(found.live), _sum(found.replayed)
    sums = by_cause(found.found)
    most = max(sums, key=lambda cause: abs(sums[cause]), default=None)
    shown = (
        (
            say("Decisions"),
            number(found.decided, ",d"),
            say("{differing} differ from the replay's", differing=number(len(found.unequal), ",d")),
        ),
        (
            say("Trades"),
            number(len(found.live), ",d"),
            say("{replayed} in the replay; {differing} differ", replayed=len(found.replayed), differing=differing),
        ),
        (
            say("Net P&L"),
            signed(live),
            say("{quote}, the replay's is {replayed}", quote=quote, replayed=signed(replayed)),
        ),
        (
            say("Difference"),
            signed(total),
            say("most of it: {cause}", cause=cause_name(most.value)) if most else say("none, to the tick"),
        ),
    )
    return cards(shown)


def causes(found: Parity, quote: str = "USDT") -> Figure:
    """What each cause brought or took."""
    sums = by_cause(found.found)
    x, y = [cause_name(cause.value) for cause in sums], list(sums.values())
    figure = Figure()
    figure.add_bar(
        x=x,
        y=[round(pnl, 6) for pnl in y],
        marker_color=[GAIN if pnl >= 0 else LOSS for pnl in y],
        text=[signed(pnl) for pnl in y],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}: %{y:+,.2f} " + quote + "<extra></extra>",
        showlegend=False,
    )
    figure.update_yaxes(title=f"{say('Difference')} [{quote}]", rangemode="tozero", zeroline=True)
    lines = [charts.on_lines(name) for name in x]
    figure.update_xaxes(type="category", tickangle=0, tickmode="array", tickvals=x, ticktext=lines)
    if not x:
        charts.nothing(figure, say("no difference"))
        figure.update_xaxes(visible=False).update_yaxes(visible=False)
    label = say("What each cause brought or took") + ": "
    label += ", ".join(f"{name} {signed(pnl)}" for name, pnl in zip(x, y, strict=True)) or say("no difference")
    return charts.finished(figure, say("The difference by its cause"), label, height=320 if x else 110)


def causes_table(found: Parity, quote: str = "USDT") -> Html:
    """The numbers of `causes`, and what each name means."""
    sums = by_cause(found.found)
    rows = []
    for cause, part in sums.items():
        parts = [one.parts[cause] for one in found.found if cause in one.parts]
        rows.append(
            (
                cause_name(cause.value),
                number(len(parts), ",d"),
                signed(part),
                number(sum(map(abs, parts))),
                say(_MEANS[cause]),
            )
        )
    unit = f"\n[{quote}]"
    heads = (say("Cause"), say("Trades"), say("Difference") + unit, say("Up and down") + unit, say("That is"))
    return table(say("The difference by its cause"), heads, rows, words={0, 4})


def course(found: Parity, quote: str = "USDT") -> Figure:
    """Net P&L so far, trade by trade, of both."""
    figure = Figure()
    for deals, name, line in (
        (found.replayed, say("Replay"), {"width": 3, "color": GREY, "dash": "dot"}),
        (found.live, say("Session"), {"width": 1.6, "color": BLUE}),
    ):
        ended = sorted((deal.ended, deal.net) for deal in deals.values() if deal.ended is not None)
        sums = np.round(list(accumulate(net for _, net in ended)), 6)
        kept = charts.decimate(sums)
        figure.add_scatter(x=[ended[at][0] for at in kept], y=sums[kept], name=name, mode="lines", line=line)
    figure.update_yaxes(title=f"{say('Net P&L so far')} [{quote}]")
    live, replayed = signed(_sum(found.live)), signed(_sum(found.replayed))
    label = say(
        "Net P&L of closed trades so far: the session ends at {live}, its replay at {replayed}",
        live=live,
        replayed=replayed,
    )
    return charts.finished(figure, say("The session and its replay: net P&L so far"), label, height=340)


def trades_table(found: Parity, quote: str = "USDT") -> Html:
    """The trades that differ, the largest difference first."""
    differing = [one for one in found.found if one.parts]
    differing.sort(key=lambda one: -abs(one.total))
    rows = [
        (
            moment(one.decided) if one.decided else UNKNOWN,
            one.symbol,
            signed(one.live),
            signed(one.replayed),
            signed(one.total),
            _shares(one),
        )
        for one in differing[:MOST]
    ]
    unit = f"\n[{quote}]"
    heads: tuple[str, ...] = (say("Decided, UTC"), say("Symbol"), say("Session") + unit, say("Replay") + unit)
    heads = (*heads, say("Difference") + unit, say("Due to"))
    shown, total = number(len(rows), ",d"), number(len(differing), ",d")
    caption = say("Trades that differ, the most first ({shown} of {total})", shown=shown, total=total)
    return table(caption, heads, rows, words={0, 1, 5})


def decisions_table(found: Parity) -> Html:
    """The verdicts that differ."""
    rows = []
    for r in found.unequal.head(MOST).to_dict("records"):
        sides = []
        for side in ("live", "replayed"):
            missing = r["_merge"] == ("right_only" if side == "live" else "left_only")
            sides.append(UNKNOWN if missing else _verdict(r, side))
        rows.append((moment(r["ts"].to_pydatetime()), str(r["symbol"]), *sides))
    caption = say(
        "Decisions that differ ({shown} of {total})",
        shown=number(len(rows), ",d"),
        total=number(len(found.unequal), ",d"),
    )
    heads = (say("Decided, UTC"), say("Symbol"), say("Session"), say("Replay"))
    return table(caption, heads, rows, words={0, 1, 2, 3})


def assumptions_table(found: Parity) -> Html:
    """What the session met, beside what the backtest reckons with."""
    met, assumed = found.met, found.assumed
    rows: list[tuple[str, str, str]] = [
        (say("Closes decided at"), number(met.decisions, ",d"), number(assumed.decisions, ",d")),
        (say("From close to fill [s]"), number(met.delay_s, ",.3f"), number(assumed.delay_s, ",.3f")),
        (
            say("Slippage, mean, of price"),
            percent(met.slippage_frac, ".4f"),
            percent(assumed.slippage_frac, ".4f"),
        ),
    ]
    for symbol in sorted({*met.fee_frac, *assumed.fee_frac}):
        fees = [side.fee_frac.get(symbol) for side in (met, assumed)]
        cells = [percent(None if fee is None else float(fee), ".4f") for fee in fees]
        rows.append((say("Taker's fee, {symbol}, of notional", symbol=symbol), cells[0], cells[1]))
    heads = ("", say("Session"), say("Replay"))
    return table(say("What was met, and what a backtest reckons with"), heads, rows, words={0})


def runs_table(found: Parity) -> Html:
    """The runs that were lived through again."""
    rows = []
    for scene in found.scenes:
        stretch = scene.stretch
        models = sorted({version or say("rule of thumb") for version in stretch.believed.values()})
        rows.append(
            (
                f"<code>{stretch.opened.run_id}</code>",
                moment(stretch.closes[0]),
                moment(stretch.closes[-1]),
                number(len(stretch.closes), ",d"),
                ", ".join(models),
                f"<code>{stretch.opened.params_hash[:12]}</code>",
            )
        )
    heads: tuple[str, ...] = (say("Run"), say("First [UTC]"), say("Last [UTC]"), say("Bars"), say("Who believed"))
    caption = say("The runs that were lived through again, each with its own settings")
    return listing(caption, (*heads, say("Settings")), rows, words={0, 1, 2, 4, 5})


# --- below ------------------------------------------------------------------------------------------------

_MEANS = {
    Cause.MODEL: "another model believed",
    Cause.FEATURES: "the model was shown something else",
    Cause.SIGNAL: "another belief of the same",
    Cause.MISSED: "the session was away, or did not trade it",
    Cause.EXTRA: "only the session traded it",
    Cause.SIZE: "another quantity, at the replay's prices",
    Cause.DELAY: "filled so long after the close, and all that this led to",
    Cause.SLIPPAGE: "another price, entered and left in the same way",
    Cause.STOP_PATH: "left for another reason, or in other parts",
    Cause.FEE: "another fee, and all that this led to",
    Cause.FUNDING: "other funding",
}


def _sum(deals: Mapping[str, Deal]) -> float:
    return sum(deal.net for deal in deals.values())


def _shares(one: Difference) -> str:
    parts = sorted(one.parts.items(), key=lambda item: -abs(item[1]))
    return ", ".join(f"{cause_name(cause.value)} {signed(part)}" for cause, part in parts)


def _verdict(row: Mapping[Hashable, object], side: str) -> str:
    why, rule = str(row[f"reason_{side}"]), str(row[f"rule_{side}"])
    words = say(str(row[f"action_{side}"]))
    words += f": {reason_name(why)}" if why else ""
    words += f" ({rule_name(rule)})" if rule else ""
    numbers = [row[f"{name}_{side}"] for name in ("score", "confidence", "allowed_notional_quote")]
    score, confidence, allowed = (float(str(value)) for value in numbers)
    return f"{words} · {number(score, '+.2f')} / {number(confidence, '.2f')} · {number(allowed)}"
