"""What is said on the terminal: answers on standard output, everything else on standard error."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def failed(error: Exception) -> int:
    """Say what went wrong; the exit code."""
    from qtlib.runs.record.atomic import redact
    from qtlib.runs.record.ends import end_of, known

    number = getattr(error, "errno", None)
    _, code = end_of([kind.__name__ for kind in type(error).__mro__], number)
    if "--debug" in sys.argv:
        say(redact("".join(traceback.format_exception(error)).rstrip()))
    elif known(error) or isinstance(error, OSError):
        say(redact(str(error)))
    else:
        say(redact(f"{type(error).__name__}: {error}. This should not happen: --debug shows where it did."))
    return 2 if isinstance(error, OSError) and code == 1 else code


def fall_silent() -> None:
    """Who read us has gone: what is still to be said, also what Python flushes at its end, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def console(stderr: bool = False) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr)
    if not console.is_terminal:
        console.width = 200  # a file or a pipe has no edge to wrap at
    return console


def respond(value: Mapping[str, Any], as_json: bool, show: "Callable[[Console], None]") -> None:
    """`value` as one JSON object, or as people read it."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False, default=str))
    else:
        show(console())


@contextmanager
def progress() -> "Iterator[Callable[[int, int, str], None]]":
    """How far long work is, with rate and time left, on standard error: called with done, total and what it is at."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True, disable=not out.is_terminal) as shown:
        task = shown.add_task("", total=None, rate="")

        def tell(done: int, total: int, what: str) -> None:
            speed = shown.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            shown.update(task, completed=done, total=total, description=what, rate=rate)

        yield tell


def table(out: "Console", title: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    if not rows:
        out.print(f"{title}: nothing there", highlight=False, markup=False)
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if isinstance(value, int | float) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    out.print(table)


def cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 10_000 else f"{value:,.6g}"
    return escape(str(value))


def age(seconds: float | None) -> str:
    if seconds is None:
        return "at a time unknown"
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def plain(value: Any) -> Any:
    """A figure of a frame, as JSON has it."""
    if hasattr(value, "isoformat"):
        return None if str(value) == "NaT" else value.strftime("%Y-%m-%dT%H:%MZ")
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
