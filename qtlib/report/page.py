"""From an executed notebook to one HTML file that needs nothing else: no network, no files beside it.

Inputs and prompts are left out; what the notebook showed stays in its order. Every plotly figure becomes a chart with
a caption and a name for screen readers. The chart library is in the file once, packed to two fifths of its size, and
unpacked by the browser. A content security policy forbids the page to load or send anything. It follows the reader's
light or dark, fits 390 pixels, and prints. A run that failed says so on top; so does a simulated market.
"""

import qtlib.lean  # noqa: F401, I001  before nbformat

import base64
import gzip
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode
from plotly.offline import get_plotlyjs

from qtlib.report.cells import markup
from qtlib.report.retold import retold
from qtlib.report.styles import STYLE
from qtlib.report.words import moment, months_and_days, say, speaking

if TYPE_CHECKING:
    import plotly.graph_objects as go

LEFT_OUT = {"papermill-error-cell-tag", "aside"}  # what papermill adds on failure; words about code that is not shown
PLOTLY = "application/vnd.plotly.v1+json"
_STRANGE = re.compile(r"<table(?![^>]*qt-table).*?</table>", re.DOTALL)
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; font-src data:"
)


def export(
    notebook_path: str | Path,
    html_path: str | Path,
    *,
    title: str,
    lang: str = "en",
    banner: str | None = None,
    simulated: str | None = None,
    replayed: bool = False,
) -> Path:
    """Write the page of an executed notebook to `html_path`, whole or not at all.

    Without a `title` it is the notebook's own heading, and when that was. `banner` is a notice on top, as for a run
    that was interrupted. `simulated`, where the market was, says how: "Seed 7."; `replayed`: the market was real, and
    the venue was not. A cell that failed is named in any case.
    """
    notebook = nbformat.read(Path(notebook_path), as_version=4)  # type: ignore[no-untyped-call]  # half typed
    with speaking(lang):
        strips = _strips(failure(notebook), banner, simulated, replayed)
        charts, name = _prepare(notebook), say("Table")
        title = title or f"{_heading(notebook)}, {moment(datetime.now(UTC))} UTC"
    target = Path(html_path)
    _write(
        target,
        _page(_scrolling(markup(notebook).replace(f"<style>{STYLE}</style>", ""), name), strips, title, lang, charts),
    )
    return target


def standalone(
    html_path: str | Path,
    parts: "Sequence[str | go.Figure]",
    *,
    title: str,
    lang: str = "en",
    simulated: str | None = None,
) -> Path:
    """Write a page of markup and figures, in their order, to `html_path`: in the same look, whole or not at all."""
    figures = [part for part in parts if not isinstance(part, str)]
    body = "\n".join(part if isinstance(part, str) else _chart(json.loads(part.to_json())) for part in parts)
    target = Path(html_path)
    _write(target, _page(body, _strips(None, None, simulated, replayed=False), title, lang, len(figures)))
    return target


def failure(notebook: NotebookNode) -> str | None:
    """The cell that raised and what it said; None if none did."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"Cell {cell.execution_count or '?'} failed: {output.ename}: {output.evalue}"
    return None


def _strips(failed: str | None, banner: str | None, simulated: str | None, replayed: bool) -> str:
    strips = ""
    if failed is not None:
        strips += (
            f'<p class="qt-strip qt-bad" role="alert"><strong>{say("FAILED")}</strong> {escape(retold(failed))}</p>'
        )
    if banner:
        strips += f'<p class="qt-strip qt-notice"><strong>{say("NOTICE")}</strong> {escape(retold(banner))}</p>'
    if simulated is not None:
        words = f"{say('No real prices, no real money.')} {retold(simulated)}".strip()
        strips += f'<p class="qt-strip qt-simulated"><strong>{say("SIMULATED MARKET")}</strong> {escape(words)}</p>'
    elif replayed:
        words = say("Real prices of the past; orders, fills and money are simulated.")
        strips += f'<p class="qt-strip qt-simulated"><strong>{say("SIMULATED VENUE")}</strong> {escape(words)}</p>'
    return strips


def _prepare(notebook: NotebookNode) -> int:
    """Leave out what only stands beside code, translate what is read, turn figures into markup; how many figures."""
    notebook.cells = [c for c in notebook.cells if not LEFT_OUT & set(c.metadata.get("tags", []))]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = "\n\n".join(say(" ".join(part.split())) for part in cell.source.split("\n\n"))
    charts = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            figure = output.get("data", {}).get(PLOTLY)
            if figure is not None:
                output.data.clear()
                output.data["text/html"] = _chart(figure)
                charts += 1
    return charts


def _heading(notebook: NotebookNode) -> str:
    """The first heading there is."""
    lines = (line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next((line.lstrip("# ") for line in lines if line.startswith("# ")), "")


def _scrolling(body: str, name: str) -> str:
    """`body`, with the tables that are not of our making in regions that scroll by themselves, by the keyboard too."""
    region = rf'<div class="qt-scroll" tabindex="0" role="region" aria-label="{escape(name)}">\g<0></div>'
    return _STRANGE.sub(region, body)


def _chart(figure: Any) -> str:
    data, layout = figure["data"], dict(figure.get("layout", {}))
    title = layout.pop("title", None) or {}
    caption = str(title.get("text", "") if isinstance(title, dict) else title)
    layout.pop("width", None)  # the page decides
    if caption:
        margin = layout.get("margin", {})
        layout["margin"] = {**margin, "t": max(12, margin.get("t", 40) - 28)}  # the caption stands above
    label = str((layout.get("meta") or {}).get("label") or caption or "chart")
    packed = json.dumps({"data": data, "layout": layout}, separators=(",", ":")).replace("<", "\\u003c")
    height = int(layout.get("height", 400))
    return (
        f'<figure class="qt-chart"><figcaption>{escape(caption)}</figcaption>'
        f'<div class="qt-plot" role="group" aria-label="{escape(label)}" style="height:{height}px"></div>'
        f'<script type="application/json">{packed}</script></figure>'
    )


def _page(body: str, strips: str, title: str, lang: str, charts: int) -> str:
    library = f'<script type="text/plain" id="qt-plotly">{packed_plotly()}</script>' if charts else ""
    with speaking(lang):
        complete = say("Times are UTC. This page is complete in itself: it loads nothing and sends nothing.")
        unpacked = say("This browser could not unpack the charts; the tables hold the same numbers.")
    told = json.dumps({"unpacked": unpacked, "calendar": months_and_days(lang)}, ensure_ascii=False).replace(
        "<", "\\u003c"
    )
    return f"""<!doctype html>
<html lang="{escape(lang)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{STYLE}{_asset("page.css")}</style>
</head>
<body>
<header>{strips}<h1>{escape(title)}</h1></header>
<main>
{body}
</main>
<footer>{escape(complete)}</footer>
<script type="application/json" id="qt-words">{told}</script>
{library}
<script>{_asset("page.js")}</script>
</body>
</html>
"""


@cache
def packed_plotly() -> str:
    """The chart library, as it stands in a page."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 6, mtime=0)).decode()


@cache
def _asset(name: str) -> str:
    return files("qtlib.report").joinpath("assets", name).read_text("utf-8")


def _write(target: Path, text: str) -> None:
    """On the platter under another name first, so that no reader ever sees half of it."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
