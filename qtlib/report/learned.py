"""What a retrain found, to read: tables and pictures of scores, reliability, importance and the gate's word.

They are given values, and know nothing of how these were made; what could not be computed is a dash.
"""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from qtlib.report.blocks import Html, table
from qtlib.report.charts import BLUE, GREY, ORANGE, VERMILION, finished, nothing
from qtlib.report.words import UNKNOWN

Array = npt.NDArray[np.float64]
SHOWN = 20  # features


def verdict(words: str, promoted: bool, then: str) -> Html:
    """The gate's word in a sentence, and what follows from it."""
    mark = "✅" if promoted else "⛔"
    return Html(f'<p class="qt-verdict"><strong>{mark} {escape(words)}</strong></p><p>{escape(then)}</p>')


def reasons(rows: Sequence[tuple[str, str, str, bool]]) -> Html:
    """Every check of the gate: what it is, what was found, what it needs."""
    shown = [(name, found, needs, "passes" if ok else "FAILS") for name, found, needs, ok in rows]
    return table("The gate: every check must pass", ("check", "found", "needs", ""), shown, {0, 3})


def scores(rows: Sequence[Mapping[str, object]]) -> Html:
    """Out-of-sample scores by group, each beside its baseline."""
    if not rows:
        return table("Out of sample", ("group",), [], {0})
    heads = tuple(rows[0])
    return table(
        "Out of sample, purged walk-forward", heads, [[_said(row[head]) for head in heads] for row in rows], {0}
    )


def reliability(said: Array, came: Array, count: Array) -> go.Figure:
    """How often a win came, by how sure the model was: on the diagonal its word is worth what it says."""
    figure = go.Figure()
    there = np.isfinite(said) & np.isfinite(came) & (count > 0)
    if not there.any():
        nothing(figure, "Nothing was predicted")
        return finished(figure, "Reliability", "Reliability of probabilities: nothing was predicted", 320)
    low, high = float(min(said[there].min(), came[there].min())), float(max(said[there].max(), came[there].max()))
    figure.add_scatter(x=[low, high], y=[low, high], mode="lines", name="As said", line={"color": GREY, "dash": "dot"})
    size = 6 + 18 * np.sqrt(count[there] / count[there].max())
    words = [f"{n:,.0f} predictions" for n in count[there]]
    marker = {"size": size.tolist(), "color": BLUE}
    figure.add_scatter(
        x=said[there].tolist(),
        y=came[there].tolist(),
        mode="markers+lines",
        name="As it came",
        marker=marker,
        text=words,
    )
    figure.update_xaxes(title="said: probability of a net profit")
    figure.update_yaxes(title="came: share of net profits")
    label = "Reliability: how often a profit came, by how probable it was said to be, out of sample"
    return finished(figure, "Does its word hold?", label, 360)


def reliability_table(said: Array, came: Array, count: Array) -> Html:
    rows = zip(said.tolist(), came.tolist(), count.tolist(), strict=True)
    shown = [(f"{s:.3f}", f"{c:.3f}", f"{n:,.0f}") for s, c, n in rows if n]
    return table("Reliability, out of sample", ("said", "came", "predictions"), shown, set())


def importance(rows: Sequence[tuple[str, float]]) -> go.Figure:
    """What each feature is worth on bars that nothing was fitted to."""
    figure = go.Figure()
    top = list(rows[:SHOWN])[::-1]
    colors = [BLUE if worth > 0 else VERMILION for _, worth in top]
    figure.add_bar(x=[worth for _, worth in top], y=[name for name, _ in top], orientation="h", marker_color=colors)
    figure.update_xaxes(title="rank correlation that goes when it is shuffled")
    label = f"Importance of the first {len(top)} features, by shuffling each, out of sample"
    return finished(figure, "Which features matter", label, 120 + 20 * len(top))


def importance_table(rows: Sequence[tuple[str, float]]) -> Html:
    shown = [(name, f"{worth:+.4f}") for name, worth in rows[:SHOWN]]
    return table("Importance, out of sample: rank correlation lost when shuffled", ("feature", "worth"), shown, {0})


def curve(rows: Sequence[tuple[int, float]]) -> go.Figure:
    """Skill by how much was learned from."""
    figure = go.Figure()
    figure.add_scatter(
        x=[n for n, _ in rows], y=[skill for _, skill in rows], mode="markers+lines", line={"color": BLUE}
    )
    figure.update_xaxes(title="rows learned from, the newest ones", rangemode="tozero")
    figure.update_yaxes(title="rank correlation on the newest stretch")
    label = "Learning curve: skill on the newest stretch by how many rows were learned from"
    return finished(figure, "Would more history help?", label, 320)


def curve_table(rows: Sequence[tuple[int, float]]) -> Html:
    return table(
        "Learning curve", ("rows", "rank correlation"), [(f"{n:,}", f"{skill:+.4f}") for n, skill in rows], set()
    )


def stretch(days: pd.DatetimeIndex, equity: Mapping[str, Array]) -> go.Figure:
    """The newest stretch, traded by each contender with all costs."""
    figure = go.Figure()
    for (name, values), color in zip(equity.items(), (BLUE, ORANGE, GREY, VERMILION), strict=False):
        figure.add_scatter(x=days, y=values.tolist(), mode="lines", name=name, line={"color": color})
    figure.update_yaxes(title="equity, as a multiple of its start")
    label = "Equity of each contender over the newest stretch, net of all costs"
    return finished(figure, "The newest stretch, traded", label, 340)


def null(real: float, permuted: Sequence[float]) -> go.Figure:
    """What the same pipeline finds where there is nothing to find, and what it found."""
    figure = go.Figure()
    figure.add_histogram(x=list(permuted), name="Permuted outcomes", marker_color=GREY, nbinsx=12)
    if np.isfinite(real):
        figure.add_vline(x=real, line={"color": BLUE, "width": 3}, annotation_text="found")
    figure.update_xaxes(title="rank correlation, out of sample")
    figure.update_yaxes(title="permutations")
    label = f"Null test: skill on {len(permuted)} permutations of outcomes, beside the skill that was found"
    return finished(figure, "Would chance have found as much?", label, 300)


def null_table(real: float, permuted: Sequence[float], p: float) -> Html:
    rows = [("found", _said(real)), ("best of the permuted", _said(max(permuted, default=float("nan"))))]
    rows += [("permutations", f"{len(permuted)}"), ("share that does as well", _said(p))]
    return table("Null test: rank correlation, out of sample", ("", ""), rows, {0})


def paths_table(paths: Sequence[float]) -> Html:
    """Expectancy on each way through the past that is made of models which had not seen it."""
    shown = [(f"{number}", _said(value)) for number, value in enumerate(paths, 1)]
    return table("Combinatorial purged paths: expectancy of a trade [R]", ("path", "expectancy"), shown, {0})


def stretch_table(rows: Sequence[tuple[str, float, float, int, float]]) -> Html:
    """Who, return, drawdown, trades, and the mean of these in R."""
    heads = ("who", "return", "max drawdown", "trades", "expectancy [R]")
    shown = [(who, f"{r:+.2%}", f"{down:.2%}", f"{n:,}", _said(mean)) for who, r, down, n, mean in rows]
    return table("The newest stretch, traded with all costs", heads, shown, {0})


def _said(value: object) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
