"""What a retrain found, to read: tables and pictures of scores, reliability, importance and the gate's word.

They are given values, and know nothing of how these were made; what could not be computed is a dash. What the record
says in English, as the gate its ruling, is told again in the reader's language.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.report.charts import BLUE, GREY, ORANGE, VERMILION, finished, nothing
from qtlib.report.figure import Figure
from qtlib.report.markup import Html, facts, table
from qtlib.report.retold import retold
from qtlib.report.words import UNKNOWN, day, number, percent, say

Array = npt.NDArray[np.float64]
SHOWN = 20  # features


def verdict(words: str, promoted: bool, then: str) -> Html:
    """The gate's word in a sentence, and what follows from it."""
    head = say("PROMOTED") if promoted else say("REFUSED")
    told = f"<strong>{head}</strong> {escape(retold(words))}"
    return Html(f'<p class="qt-strip qt-notice">{told}</p><p>{escape(then)}</p>')


def card(version: str, known: Mapping[str, str]) -> Html:
    """All that is known of a model, by its card."""
    rows = [(retold(key), retold(words)) for key, words in known.items()]
    return facts(say("Model {version}", version=version), rows)


def reasons(rows: Sequence[tuple[str, str, str, bool]]) -> Html:
    """Every check of the gate: what it is, what was found, what it needs."""
    passes = {True: say("passes"), False: say("FAILS")}
    shown = [(retold(name), retold(found), retold(needs), passes[ok]) for name, found, needs, ok in rows]
    heads = (say("check"), say("found"), say("needs"), "")
    return table(say("The gate: every check must pass"), heads, shown, {0, 3})


def scores(rows: Sequence[Mapping[str, object]]) -> Html:
    """Out-of-sample scores by group, each beside its baseline."""
    heads = tuple(rows[0]) if rows else ("group",)
    shown = [[_said(row[head]) for head in heads] for row in rows]
    return table(say("Out of sample, purged walk-forward"), tuple(map(retold, heads)), shown, {0})


def reliability(said: Array, came: Array, count: Array) -> Figure:
    """How often a win came, by how sure the model was: on the diagonal its word is worth what it says."""
    figure, there = Figure(), np.isfinite(said) & np.isfinite(came) & (count > 0)
    label = say("How often a net profit came, by how probable it was said to be, out of sample")
    if not there.any():
        nothing(figure, say("Nothing was predicted"))
        return finished(figure, say("Does its word hold?"), label, 320)
    low, high = float(min(said[there].min(), came[there].min())), float(max(said[there].max(), came[there].max()))
    dotted = {"color": GREY, "dash": "dot"}
    figure.add_scatter(x=[low, high], y=[low, high], mode="lines", name=say("as said"), line=dotted)
    size = 6 + 18 * np.sqrt(count[there] / count[there].max())
    words = [say("{count} predictions", count=number(float(n), ",.0f")) for n in count[there]]
    marker = {"size": size.tolist(), "color": BLUE}
    x, y = said[there].tolist(), came[there].tolist()
    figure.add_scatter(x=x, y=y, mode="markers+lines", name=say("as it came"), marker=marker, text=words)
    figure.update_xaxes(title=say("said: probability of a net profit"))
    figure.update_yaxes(title=say("came: share of net profits"))
    return finished(figure, say("Does its word hold?"), label, 360)


def reliability_table(said: Array, came: Array, count: Array) -> Html:
    rows = zip(said.tolist(), came.tolist(), count.tolist(), strict=True)
    shown = [(number(s, ".3f"), number(c, ".3f"), number(n, ",.0f")) for s, c, n in rows if n]
    return table(say("Reliability, out of sample"), (say("said"), say("came"), say("predictions")), shown, set())


def importance(rows: Sequence[tuple[str, float]]) -> Figure:
    """What each feature is worth on bars that nothing was fitted to."""
    figure, top = Figure(), list(rows[:SHOWN])[::-1]
    if not np.isfinite([worth for _, worth in top]).any():
        nothing(figure, say("There was nothing to measure it by"))
    colors = [BLUE if worth > 0 else VERMILION for _, worth in top]
    figure.add_bar(x=[worth for _, worth in top], y=[name for name, _ in top], orientation="h", marker_color=colors)
    figure.update_xaxes(title=say("rank correlation that goes when it is shuffled"))
    label = say("What the first {count} features are worth, by shuffling each, out of sample", count=len(top))
    return finished(figure, say("Which features matter"), label, 120 + 20 * len(top))


def importance_table(rows: Sequence[tuple[str, float]]) -> Html:
    shown = [(name, number(worth, "+.4f")) for name, worth in rows[:SHOWN]]
    return table(say("Rank correlation lost when shuffled"), (say("feature"), say("worth")), shown, {0})


def curve(rows: Sequence[tuple[int, float]]) -> Figure:
    """Skill by how much was learned from."""
    figure = Figure()
    x, y = [n for n, _ in rows], [skill for _, skill in rows]
    if not np.isfinite(y).any():
        nothing(figure, say("It says nothing, however much it learned from"))
    figure.add_scatter(x=x, y=y, mode="markers+lines", line={"color": BLUE})
    figure.update_xaxes(title=say("rows learned from, the newest ones"), rangemode="tozero")
    figure.update_yaxes(title=say("rank correlation on the newest stretch"))
    label = say("Skill on the newest stretch by how many rows were learned from")
    return finished(figure, say("Would more history help?"), label, 320)


def curve_table(rows: Sequence[tuple[int, float]]) -> Html:
    shown = [(number(float(n), ",.0f"), _skill(skill)) for n, skill in rows]
    return table(say("Learning curve"), (say("rows"), say("rank correlation")), shown, set())


def null(real: float, permuted: Sequence[float]) -> Figure:
    """What the same pipeline finds where there is nothing to find, and what it found."""
    figure = Figure()
    figure.add_histogram(x=list(permuted), name=say("permuted outcomes"), marker_color=GREY, nbinsx=12)
    if np.isfinite(real):
        ends = (min(real, *permuted), max(real, *permuted)) if permuted else (real, real)
        inwards = "top left" if real > sum(ends) / 2 else "top right"  # else the word is cut off at the edge
        line = {"color": BLUE, "width": 3}
        figure.add_vline(x=real, line=line, annotation_text=say("found"), annotation_position=inwards)
    figure.update_xaxes(title=say("rank correlation, out of sample"))
    figure.update_yaxes(title=say("permutations"))
    label = say("Skill on {count} permutations of outcomes, beside the skill that was found", count=len(permuted))
    return finished(figure, say("Would chance have found as much?"), label, 300)


def null_table(real: float, permuted: Sequence[float], p: float) -> Html:
    best = max(permuted, default=float("nan"))
    rows = [(say("found"), _skill(real)), (say("best of the permuted"), number(best, "+.4f"))]
    rows += [(say("permutations"), f"{len(permuted)}"), (say("share that does as well"), percent(p, ".0f"))]
    return table(say("Null test: rank correlation, out of sample"), ("", ""), rows, {0})


def paths_table(paths: Sequence[float]) -> Html:
    """Expectancy on each way through the past that is made of models which had not seen it."""
    shown = [(f"{place}", number(value, "+.3f")) for place, value in enumerate(paths, 1)]
    return table(say("Combinatorial purged paths: expectancy of a trade [R]"), (say("path"), "R"), shown, {0})


def stretch(days: pd.DatetimeIndex, equity: Mapping[str, Array]) -> Figure:
    """The newest stretch, traded by each contender with all costs."""
    figure = Figure()
    for (name, values), color in zip(equity.items(), (BLUE, ORANGE, GREY, VERMILION), strict=False):
        figure.add_scatter(x=days, y=values.tolist(), mode="lines", name=name, line={"color": color})
    figure.update_yaxes(title=say("equity, as a multiple of its start"))
    label = say("Equity of each contender over the newest stretch, net of all costs")
    return finished(figure, say("The newest stretch, traded"), label, 340)


def stretch_table(rows: Sequence[tuple[str, float, float, int, float, datetime | None]]) -> Html:
    """Who, return, drawdown, trades, the mean of these in R, and since when its limits let it enter nothing."""
    heads = (
        say("who"),
        say("return"),
        say("max drawdown"),
        say("trades"),
        say("expectancy [R]"),
        say("held back by its limits since"),
    )
    shown = [
        (
            who,
            percent(gain, sign=True),
            percent(down),
            number(float(n), ",.0f"),
            number(mean, "+.3f"),
            day(held) if held is not None else say("never"),
        )
        for who, gain, down, n, mean, held in rows
    ]
    return table(say("The newest stretch, traded with all costs"), heads, shown, {0})


def _skill(correlation: float) -> str:
    """A rank correlation; there is none where every row is told the same."""
    return number(correlation, "+.4f") if np.isfinite(correlation) else say("says nothing")


def _said(value: object) -> str:
    if isinstance(value, float):
        return number(value, ".4g") if np.isfinite(value) else UNKNOWN
    return number(float(value), ",.0f") if isinstance(value, int) else UNKNOWN if value is None else retold(str(value))
