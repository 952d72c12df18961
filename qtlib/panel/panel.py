"""The panel itself: where each part stands, and the heartbeat that keeps it true.

Reading has a thread of its own, and one look a second; what it found is painted in the kernel's own thread, where the
buttons are heard, too. A part is sent to the page only where it changed.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.resources import files

import ipywidgets as widgets

from qtlib.panel import charts, shown
from qtlib.panel.calculator import Calculator
from qtlib.panel.controls import Controls
from qtlib.panel.desk import Desk
from qtlib.panel.reader import Reader
from qtlib.panel.sight import Sight, sight
from qtlib.panel.teaching import Teaching
from qtlib.report.words import say

LOOK_S = 0.5
STYLE = "".join(
    files(package).joinpath("assets", name).read_text("utf-8")
    for package, name in (("qtlib.report", "blocks.css"), ("qtlib.panel", "panel.css"))
)


def control_panel(desk: Desk) -> widgets.Widget:
    """The panel of `desk`'s account, which looks by itself from now on."""
    panel = Panel(desk)
    panel.look()
    panel.keep_looking()
    return panel.widget


class Panel:
    """Every part, and the widget that holds them."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._reader = desk, Reader(desk.journal)
        self._thread = ThreadPoolExecutor(1, "panel")
        self._task: asyncio.Task[None] | None = None
        self._drawn: object = None
        self.controls, self.calculator = Controls(desk), Calculator()
        self.teaching = Teaching(desk, self.controls)
        names = ("head", "life", "figures", "positions", "orders", "limits", "refusals", "learning", "loops", "asked")
        self.parts = {name: widgets.HTML() for name in (*names, "brake", "log")}
        self.titles = {name: widgets.HTML() for name in _TITLES}
        self.candles, self.equity = widgets.HTML(), widgets.HTML()
        self.controls.symbol.observe(lambda change: self._draw(), "value")
        self.sight: Sight | None = None
        self.widget = self._laid_out()

    def look(self) -> Sight:
        """Read, and paint what was found."""
        self.show(self._thread.submit(self._read).result())
        assert self.sight is not None
        return self.sight

    def keep_looking(self) -> None:
        """Look again and again, in the event loop that runs."""
        self._task = asyncio.get_running_loop().create_task(self._looking())

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
        self._thread.submit(self._reader.close).result()
        self._thread.shutdown()
        self.widget.close()

    def show(self, seen: Sight) -> None:
        """Paint `seen`."""
        self.sight = seen
        for name, part in self.parts.items():
            _put(part, getattr(shown, name)(seen))
        for name, (title, note) in _TITLES.items():
            _put(self.titles[name], shown.heading(say(title), note(seen)))
        self.controls.show(seen)
        self.teaching.show(seen)
        self.calculator.show(seen)
        for name, wanted in (("qt-stale", seen.stale), ("qt-lives", not seen.stale)):
            (self.widget.add_class if wanted else self.widget.remove_class)(name)
        self._draw()

    async def _looking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = time.monotonic()
            self.show(await loop.run_in_executor(self._thread, self._read))
            await asyncio.sleep(max(0.05, LOOK_S - (time.monotonic() - begun)))

    def _read(self) -> Sight:
        self._reader.look()
        desk, outside = self._desk, self._desk.outside()
        now = datetime.now(UTC)
        mono = time.monotonic()
        return sight(self._reader, outside, desk.models(), desk.account, desk.mode, desk.market, now, mono)

    def _draw(self) -> None:
        """The pictures, where what they show has changed."""
        seen, symbol = self.sight, self.controls.symbol.value
        if seen is None or symbol is None:
            return
        past, held = self._reader.past, seen.held(symbol)
        drawn = (symbol, seen.state.ts, seen.state.requests, len(past.marks), len(past.equity), held is None)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        self.candles.value = charts.candles(past, symbol, held)
        self.equity.value = charts.equity(list(past.equity))

    def _laid_out(self) -> widgets.Widget:
        parts, titles, controls = self.parts, self.titles, self.controls
        held = _section("positions", titles["positions"], parts["positions"], controls.positioning())
        left = (
            _section("chart", titles["chart"], self.candles),
            _section("orders", titles["orders"], parts["orders"]),
            _section("refusals", titles["refusals"], parts["refusals"]),
            _section("equity", titles["equity"], self.equity),
        )
        right = (
            _section("commands", titles["commands"], parts["brake"], controls.commanding(), parts["asked"]),
            _section("limits", titles["limits"], parts["limits"], controls.limiting()),
            _section("learning", titles["learning"], parts["learning"], self.teaching.widget),
            _section("loops", titles["loops"], parts["loops"]),
        )
        below = (
            _section("calculator", titles["calculator"], self.calculator.widget()),
            _section("log", titles["log"], parts["log"]),
        )
        columns = _box([_box(left, "qt-left"), _box(right, "qt-right")], "qt-columns")
        top = [widgets.HTML(f"<style>{STYLE}</style>"), parts["head"], parts["life"], parts["figures"], held]
        return _box([*top, columns, _box(below, "qt-below")], "qt-panel")


_TITLES = {
    "positions": ("Positions", shown.journal_note),
    "chart": ("Price, entries, exits and levels", shown.journal_note),
    "orders": ("Working orders", shown.journal_note),
    "refusals": ("Why no trade", shown.decided_note),
    "equity": ("Equity", shown.journal_note),
    "commands": ("Commands", lambda seen: ""),
    "limits": ("Limits", shown.journal_note),
    "learning": ("Learning", shown.page_note),
    "loops": ("Health", shown.page_note),
    "calculator": ("ROI calculator", lambda seen: ""),
    "log": ("Log", shown.log_note),
}


def _section(name: str, *children: widgets.Widget) -> widgets.Widget:
    made = _box(children, "qt-section")
    made.add_class(f"qt-{name}")
    return made


def _box(children: object, name: str) -> widgets.Widget:
    made = widgets.Box(list(children))  # type: ignore[call-overload]  # any iterable of widgets
    made.add_class(name)
    return made


def _put(widget: widgets.HTML, markup: str) -> None:
    if widget.value != markup:
        widget.value = markup
