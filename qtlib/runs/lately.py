"""What lies in the runs folder, as a notebook shows it: the newest runs, each with its report, and the journals."""

from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path

from qtlib.journal import Journal
from qtlib.report.markup import Html, listing
from qtlib.report.retold import retold
from qtlib.report.words import UNKNOWN, number, percent, say, signed
from qtlib.runs.record.folder import HOME, RunFolder, journal_location, runs, runs_root


@dataclass(frozen=True, slots=True)
class Lately:
    """The newest `last` runs. As the last line of a cell it is a table of them."""

    last: int = 10
    root: Path | None = None

    def runs(self) -> list[RunFolder]:
        return list(islice(runs(self.root), self.last))

    def journal(self, account: str = "main") -> Journal | Html:
        """The journal of `account`, for reading; in words, where it has none yet."""
        where = journal_location(account, self.root or runs_root())
        if isinstance(where, Path) and not where.exists():
            begins = {"account": f"<b>{escape(account)}</b>", "command": "<code>qt live</code>"}
            return Html(f"<p>{say('account {account} has no journal yet; {command} begins one', **begins)}</p>")
        return Journal(where, account, reading=True)

    def _repr_html_(self) -> str:
        heads = (say("Run"), say("How it ended"), say("Trades"), say("Net P&L"), say("Win rate"), say("Max drawdown"))
        rows = [_row(folder) for folder in self.runs()]
        return listing(say("Runs, newest first"), (*heads, say("Report")), rows, words={0, 1, 6})._repr_html_()


def _row(folder: RunFolder) -> tuple[str, ...]:
    record = folder.record()
    figures, files = record.get("metrics") or {}, record.get("files") or {}
    page = folder / str(files.get("report") or "report.html")
    link = f'<a href="{escape(_beside(page))}" target="_blank">{escape(say("open"))}</a>' if page.exists() else UNKNOWN
    return (
        f"<code>{escape(folder.run_id)}</code>",
        escape(retold(str(record.get("status")))),
        escape(number(figures.get("trades"), ",d")),
        escape(signed(figures.get("net_pnl_quote"))),
        escape(percent(figures.get("win_rate_frac"), ".1f")),
        escape(percent(figures.get("max_drawdown_frac"))),
        link,
    )


def _beside(page: Path) -> str:
    """Where a notebook in `notebooks/` finds `page`."""
    try:
        return f"../{page.resolve().relative_to(HOME)}"
    except ValueError:  # the runs folder is elsewhere
        return page.resolve().as_uri()
