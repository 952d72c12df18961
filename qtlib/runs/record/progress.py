"""A run, while it runs: each line of its log as it comes, and on a terminal one line of how far it is.

Where nobody looks (no terminal) there are only the lines.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

_STYLES = {"warning": "yellow", "error": "bold red"}


class Watching:
    """Prints to `console` what a run tells."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._task: TaskID | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def line(self, entry: Mapping[str, Any]) -> None:
        """One line of the log: when at the venue, if it says, and what."""
        when = str(entry.get("venue_ts") or entry.get("ts", ""))[:16].replace("T", " ")
        text = Text(f"{when}  ", style="dim")
        text.append(str(entry.get("msg", "")), style=_STYLES.get(str(entry.get("level")), "default"))
        self._console.print(text, soft_wrap=True)

    def beat(self, figures: Mapping[str, Any]) -> None:
        """How far it is."""
        done, total = figures.get("done"), figures.get("total")
        if done is None or not self._console.is_terminal:
            return
        if self._task is None:
            self._task = self._progress.add_task(str(figures.get("what", "bars")), total=total, rate="")
        speed = self._progress.tasks[0].speed
        self._progress.update(self._task, completed=done, total=total, rate=f"{speed:,.0f}/s" if speed else "")
