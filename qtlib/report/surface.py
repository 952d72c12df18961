"""A sweep to read: the surface over its axes, how all trials spread, the best among its neighbours, and what followed.

It is given values, and knows nothing of how these were made. Beside each picture stands its table. Settings are named
by their paths, as one writes them; what could not be computed is a dash.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.report.charts import BLUE, GREY, ORANGE, VERMILION, finished, nothing
from qtlib.report.figure import Figure, in_parts
from qtlib.report.markup import Html, cards, table
from qtlib.report.names import objective_name
from qtlib.report.words import UNKNOWN, number, percent, say

Array = npt.NDArray[np.float64]
Numbers = Mapping[str, float | int | None]

MOST_PAIRS = 6
SHOWN = 15  # trials in a table
_LOW, _MIDDLE, _HIGH = VERMILION, "#E8E4DC", BLUE


def headline(m: Numbers, objective: str) -> Html:
    """The few numbers one asks for first: how good the best is, and how much of that is having looked so often."""
    traded = say("{traded} traded; {profitable} of them earned", **_traded(m))
    around = say("median of its neighbours {around}", around=number(m["neighbours_median_score"], ".3g"))
    middle = say("over all trials that traded enough")
    luck = say(
        "the luckiest of {trials} without skill has {ratio}",
        trials=number(m["trials_of_subject"], ",.0f"),
        ratio=number(m["sharpe_by_luck"]),
    )
    best = say(
        "Sharpe {sharpe}, drawdown {down}, {trades} trades",
        sharpe=number(m["best_sharpe"]),
        down=percent(m["best_max_drawdown_frac"]),
        trades=number(m["best_trades"], ",.0f"),
    )
    shown = [
        (say("Trials"), number(m["trials"], ",.0f"), traded),
        (say("Best {objective}", objective=objective_name(objective)), number(m["best_score"], ".4g"), around),
        (say("Median {objective}", objective=objective_name(objective)), number(m["median_score"], ".4g"), middle),
        (say("Return of the best"), percent(m["best_return_frac"], sign=True), best),
        (say("Deflated Sharpe"), percent(m["deflated_sharpe"], ".1f"), luck),
        (
            say("Overfitting"),
            percent(m["overfitting_probability"], ".1f"),
            say("how often the best of one half of the time was below the median in the other"),
        ),
    ]
    if "forward_folds" in m:
        sure = say("above zero with probability {sure}", sure=percent(m["forward_surely_above_zero"], ".1f"))
        shown.append((say("Walk-forward Sharpe"), number(m["forward_sharpe"]), sure))
        earned = say(
            "{folds} folds, {trades} trades, drawdown {down}",
            folds=number(m["forward_folds"], ",.0f"),
            trades=number(m["forward_trades"], ",.0f"),
            down=percent(m["forward_max_drawdown_frac"]),
        )
        shown.append((say("Walk-forward return"), percent(m["forward_return_frac"], sign=True), earned))
    return cards(shown)


def line(axis: str, labels: Sequence[str], scores: Array, best: Array, objective: str) -> Figure:
    """The surface over a single axis: the median and the best trial at each of its values."""
    figure = Figure()
    figure.add_scatter(x=list(labels), y=_plain(best), name=say("best there"), mode="lines+markers", line_color=ORANGE)
    figure.add_scatter(
        x=list(labels), y=_plain(scores), name=say("median there"), mode="lines+markers", line_color=BLUE
    )
    figure.update_xaxes(type="category", title=axis)
    figure.update_yaxes(title=objective_name(objective))
    return finished(figure, say("The surface"), _label(objective, 1), 380)


def surface(
    pairs: Sequence[tuple[str, str, Sequence[str], Sequence[str], Array, tuple[str, str] | None]], objective: str
) -> Figure:
    """Each pair of axes as a map (across, down, their labels, scores, where the best is): medians over all others."""
    shown = pairs[:MOST_PAIRS]
    if not any(np.isfinite(scores).any() for *_, scores, _ in shown):
        figure = Figure()
        nothing(figure, say("No trial traded enough"))
        return finished(figure, say("The surface"), _label(objective, len(shown)), 240)
    rows = len(shown)  # one below the other: on a phone two side by side would write over each other
    figure = in_parts(rows=rows, cols=1, vertical_spacing=0.3 / rows)
    for place, (across, down, x, y, scores, best) in enumerate(shown):
        at = {"row": place + 1, "col": 1}
        hover = f"{across} %{{x}}<br>{down} %{{y}}<br>{objective_name(objective)} %{{z:.4g}}<extra></extra>"
        cells = {"x": list(x), "y": list(y), "z": [_plain(row) for row in scores], "coloraxis": "coloraxis"}
        figure.add_heatmap(**cells, hovertemplate=hover, xgap=1, ygap=1, **at)
        if best is not None:
            ring = {"symbol": "circle", "size": 13, "color": "white", "line": {"width": 3, "color": "black"}}
            name = {"name": say("the best trial"), "showlegend": place == 0}
            figure.add_scatter(x=[best[0]], y=[best[1]], mode="markers", marker=ring, hoverinfo="skip", **name, **at)
        figure.update_xaxes(type="category", title=across, **at)
        figure.update_yaxes(type="category", title=down, **at)
    height = 420 if rows == 1 else 300 * rows
    finished(
        figure,
        say("The surface: median {objective}", objective=objective_name(objective)),
        _label(objective, len(shown)),
        height,
    )
    figure.update_xaxes(nticks=0)
    figure.update_yaxes(tickformat="", nticks=0)
    figure.update_layout(coloraxis=_colours([scores for *_, scores, _ in shown]))
    return figure


def effects_table(
    effects: Mapping[str, tuple[Sequence[str], npt.NDArray[np.intp]]], scores: Array, objective: str
) -> Html:
    """What each value of each axis came to, over everything else."""
    rows = []
    for axis, (labels, places) in effects.items():
        for place, label in enumerate(labels):
            there = scores[places == place]
            known = there[~np.isnan(there)]
            middle, best = (float(np.median(known)), float(known.max())) if len(known) else (None, None)
            rows.append((axis, label, number(float(len(there)), ",.0f"), number(middle, ".4g"), number(best, ".4g")))
    heads = (say("setting"), say("value"), say("trials"), say("median"), say("best"))
    return table(
        say("{objective} by the value of each setting", objective=objective_name(objective)), heads, rows, {0, 1}
    )


def spread(scores: Array, by_luck: float | None, objective: str) -> Figure:
    """How all trials came out; the best is the right end of this, and luck alone has a right end, too."""
    figure, known = Figure(), scores[~np.isnan(scores)]
    label = say("How many trials came to which {objective}", objective=objective_name(objective))
    title = say("All trials")
    if not len(known):
        nothing(figure, say("No trial traded enough"))
        return finished(figure, title, label, 240)
    counts, edges = np.histogram(known, bins=min(40, max(5, int(len(known) ** 0.5) * 2)))
    middles = (edges[:-1] + edges[1:]) / 2
    figure.add_bar(x=middles.tolist(), y=counts.tolist(), name=say("trials"), marker_color=BLUE)
    if by_luck is not None and objective == "sharpe":
        lines = {"dash": "dash", "color": VERMILION, "width": 1.5}
        x, y = [by_luck, by_luck], [0, int(counts.max())]
        figure.add_scatter(x=x, y=y, mode="lines", name=say("the luckiest without skill"), line=lines)
    figure.update_xaxes(title=objective_name(objective))
    figure.update_yaxes(title=say("trials"), rangemode="tozero")
    finished(figure, title, label, 320).update_layout(bargap=0.05)
    return figure


def spread_table(scores: Array, objective: str) -> Html:
    known = scores[~np.isnan(scores)]
    shares = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    rows = [(percent(s, ".0f"), number(float(np.quantile(known, s)), ".4g")) for s in shares] if len(known) else []
    return table(say("Share of trials at or below"), (say("share"), objective_name(objective)), rows, {0})


def trials_table(caption: str, axes: Sequence[str], rows: Sequence[tuple[str, Sequence[object], Numbers]]) -> Html:
    """Some trials: what they are here for, their settings, and what came of them."""
    heads = ("", *axes, say("score"), "Sharpe", say("return"), say("max drawdown"), say("trades"), say("win rate"))
    shown = [
        (
            why,
            *(f"{v:.6g}" if isinstance(v, float) else str(v) for v in point),
            number(_known(m["score"]), ".4g"),
            number(_known(m["sharpe"])),
            percent(_known(m["return_frac"]), sign=True),
            percent(_known(m["max_drawdown_frac"])),
            number(_known(m["trades"]), ",.0f"),
            percent(_known(m["win_rate_frac"]), ".1f"),
        )
        for why, point, m in rows
    ]
    return table(caption, heads, shown, set(range(1 + len(axes))))


def forward(days: pd.DatetimeIndex, equity: Array, fold: Array) -> Figure:
    """Equity over the tested stretches, one after the other: at each start the choice is made anew."""
    figure = Figure()
    label = say("Equity of what was chosen by the past, over the stretches that followed")
    title = say("Walk-forward: out of sample, net of all costs")
    if not len(equity):
        nothing(figure, say("No trial traded enough"))
        return finished(figure, title, label, 240)
    figure.add_scatter(x=days, y=_plain(equity), mode="lines", name=say("equity"), line={"color": BLUE, "width": 1.6})
    for begin in np.flatnonzero(np.diff(fold)).tolist():
        figure.add_vline(x=days[begin + 1], line={"color": GREY, "dash": "dot", "width": 1})
    figure.update_yaxes(title=say("equity, as a multiple of its start"))
    return finished(figure, title, label, 340)


def forward_table(
    axes: Sequence[str],
    rows: Sequence[tuple[str, str, Sequence[object] | None, float | None, Numbers | None]],
    objective: str,
) -> Html:
    """Each fold: what it was chosen by, when it was traded, what was chosen, and both scores."""
    heads = (
        *(say("tested from"), say("to")),
        *axes,
        *(
            say("{objective} before", objective=objective_name(objective)),
            say("{objective} in it", objective=objective_name(objective)),
        ),
        *(say("return"), say("trades")),
    )
    shown = [
        (
            first,
            last,
            *(
                [UNKNOWN] * len(axes)
                if point is None
                else [f"{v:.6g}" if isinstance(v, float) else str(v) for v in point]
            ),
            number(before, ".4g"),
            *(
                (number(_known(m[objective]), ".4g"), percent(_known(m["return_frac"]), sign=True))
                if m is not None
                else (UNKNOWN, UNKNOWN)
            ),
            number(_known(m["trades"]), ",.0f") if m is not None else UNKNOWN,
        )
        for first, last, point, before, m in rows
    ]
    return table(say("Each stretch, traded by what did best before it"), heads, shown, set(range(2 + len(axes))))


# --- below ------------------------------------------------------------------------------------------------


def _traded(m: Numbers) -> dict[str, str]:
    return {"traded": number(m["trials_traded"], ",.0f"), "profitable": percent(m["profitable_frac"], ".0f")}


def _label(objective: str, maps: int) -> str:
    return say(
        "Median {objective} of the trials at each place of the settings, in {maps} maps",
        objective=objective_name(objective),
        maps=maps,
    )


def _colours(maps: Sequence[Array]) -> dict[str, object]:
    """One scale for all maps: through a plain middle at zero, where it is among them."""
    values = np.concatenate([m[np.isfinite(m)] for m in maps])
    low, high = float(values.min()), float(values.max())
    if low < 0 < high:
        reach = max(-low, high)
        low, high = -reach, reach
    bar = {"thickness": 12, "outlinewidth": 0, "tickformat": ".3~g"}
    return {"colorscale": [[0, _LOW], [0.5, _MIDDLE], [1, _HIGH]], "cmin": low, "cmax": high, "colorbar": bar}


def _plain(values: Array) -> list[float | None]:
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values]


def _known(value: float | int | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
