"""`qt alerts`: whether people can be reached, what they were told, and a look for what they should be told now."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, alerts
from qtlib.cli.saying import respond, table
from qtlib.cli.settings import settings_of

if TYPE_CHECKING:
    from qtlib.runs.alerting.alerts import Alerts


@alerts.command("test", epilog="Example: qt alerts test")
def alerts_test(as_json: AsJson = False, debug: Debug = False) -> None:
    """Send a word to each address in QT_ALERT_URLS, and say whether it arrived; exit 1 if one did not."""
    from qtlib.runs.alerting.alerts import addresses, tested

    rows = tested(addresses() or _nobody())
    respond({"addresses": rows}, as_json, lambda out: table(out, "addresses", rows))
    if not all(row["arrived"] for row in rows):
        raise typer.Exit(1)


@alerts.command("send", epilog="Example: qt alerts send --json")
def alerts_send(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Look at the account's journal and session once, and send what needs a person; exit 1 if it could not be sent.

    A session's supervisor does so all the time. This is for a clock outside, which also notices a dead supervisor.
    """
    found = _alerts(params, p)
    left = found.look()
    found.close()
    due = [due.words for due in found.book().due]
    respond({"unsent": due}, as_json, lambda out: table(out, "not sent yet", [{"alert": words} for words in due]))
    if left:
        raise typer.Exit(1)


@alerts.command("list", epilog="Example: qt alerts list")
def alerts_list(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """What was sent lately, oldest first, and what is still to be."""
    from qtlib.runs.alerting.alerts import Alerts
    from qtlib.runs.record.folder import runs_root

    book = Alerts(settings_of(params or Path("params/sim.yaml"), p).params, runs_root(), ()).book()
    rows: list[dict[str, Any]] = [{"at": _at(due.at), "alert": due.words, "sent": not due.to} for due in book.sent]
    rows += [{"at": _at(due.at), "alert": due.words, "sent": False} for due in book.due]
    respond({"alerts": rows}, as_json, lambda out: table(out, "alerts", rows))


def _alerts(params: Path | None, p: list[str] | None) -> "Alerts":
    from qtlib.runs.alerting.alerts import alerts as made

    return made(settings_of(params or Path("params/sim.yaml"), p).params) or _nobody()


def _nobody() -> Any:
    from qtlib.params import SettingsError

    raise SettingsError(
        "nobody is to be told: name addresses in QT_ALERT_URLS, with blanks between them, or in a file of your own "
        "that QT_ALERT_URLS_FILE names; tgram://TOKEN/CHAT, mailtos://…, json://127.0.0.1:8080"
    )


def _at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
