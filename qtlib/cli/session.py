"""Commands about the account's session: what it holds, what it is told, what holds it back."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, app
from qtlib.cli.saying import age, respond, table
from qtlib.cli.settings import settings_of

if TYPE_CHECKING:
    from rich.console import Console


@app.command(epilog="Example: qt status -p session.account=main --json")
def status(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """What the account holds, whether it is protected, and what the newest run does; with the age of each figure."""
    from qtlib.runs.session.overview import overview

    settings = settings_of(params or Path("params/sim.yaml"), p).params
    answer = overview(settings.session.account)
    respond(answer, as_json, lambda out: _show_status(out, answer))


Wait = Annotated[float, typer.Option("--wait", metavar="SECONDS", help="For the session's answer.")]


_ASKED = {
    "pause": "Nothing grows, until `qt resume`: no entries; what is open stays protected and is left as planned.",
    "resume": "End a pause; anything else that holds trading back needs `qt rearm`.",
    "reduce": "Nothing grows, until `qt rearm`.",
    "flatten": "Close everything at market now, and open nothing until `qt rearm`.",
    "kill": "The kill switch: close everything at market now; no session of this account enters until `qt rearm`.",
    "stop": "End the account's session in order; what is open stays protected at the venue.",
}  # of the account as a whole, with nothing more to say


def _asks(verb: str, words: str) -> None:
    @app.command(verb, help=words, epilog=f"Example: qt {verb} --json")
    def ask(
        wait: Wait = 5.0, params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False
    ) -> None:
        ask_session(verb, wait, params, p, as_json)


for _verb, _words in _ASKED.items():
    _asks(_verb, _words)


Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="Of the position, as BTCUSDT.")]


@app.command(epilog="Example: qt close BTCUSDT --json")
def close(
    symbol: Symbol,
    wait: Wait = 5.0,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Close one position at market now; trading goes on, after the symbol's cooldown there too."""
    ask_session("close", wait, params, p, as_json, symbol=symbol.upper())


@app.command(epilog="Example: qt tighten BTCUSDT 61250.50")
def tighten(
    symbol: Symbol,
    stop: Annotated[str, typer.Argument(metavar="PRICE", help="Where the stop should rest [quote].")],
    wait: Wait = 5.0,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Move a position's stop nearer to the price; it is never moved away again."""
    from decimal import Decimal, InvalidOperation

    try:
        price = Decimal(stop)
    except InvalidOperation as why:
        raise typer.BadParameter(f"{stop!r} is no price") from why
    ask_session("tighten", wait, params, p, as_json, symbol=symbol.upper(), price=price)


@app.command(epilog="Example: qt limits max_positions=2 max_notional_per_trade=100")
def limits(
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="None: only show what is in force.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, where a limit is loosened.")] = "",
    wait: Wait = 5.0,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show the limits in force; tighten them at once, or loosen them from the next UTC day on, with a reason."""
    from qtlib.params import resolve
    from qtlib.runs.session.overview import limits_in_force

    account = settings_of(params or Path("params/sim.yaml"), p).params.session.account
    if changes:
        checked = resolve(overrides=[f"limits.{change}" for change in changes]).params.limits  # units and ranges
        names = [change.partition("=")[0] for change in changes]
        asked = {name: getattr(checked, name) for name in names}
        ask_session("limits", wait, params, p, as_json, limits=asked, reason=reason)
        return
    rows = limits_in_force(account)
    respond({"account": account, "limits": rows}, as_json, lambda out: table(out, f"limits of account {account}", rows))


@app.command(epilog="Example: qt rearm --confirm 3fa9c1")
def rearm(
    confirm: Annotated[
        str | None, typer.Option(metavar="CODE", help="Re-arm: the code that `qt rearm` alone has shown.")
    ] = None,
    wait: Wait = 5.0,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what holds trading back, and the code that ends it; with --confirm CODE, end it."""
    if confirm is not None:
        ask_session("rearm", wait, params, p, as_json, code=confirm)
        return
    from qtlib.runs.record.commands import brake

    account = settings_of(params or Path("params/sim.yaml"), p).params.session.account
    found = brake(account)
    respond({"account": account, "brake": found}, as_json, lambda out: _show_brake(out, account, found))


@app.command(epilog="Example: qt recover --plan -p session.account=main")
def recover(
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it would do, and on what evidence.")] = False,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Bring journal and exchange together, and protect what is held, as every session does when it starts."""
    from qtlib.runs.session.recovery import recovery

    answer = recovery(settings_of(params or Path("params/sim.yaml"), p), act=not plan)
    respond(answer, as_json, lambda out: _show_recovery(out, answer))


def ask_session(verb: str, wait_s: float, params: Path | None, p: list[str] | None, as_json: bool, **what: Any) -> None:
    """Leave a command for the session, show its answer; exit 3 if it was refused, 1 if nobody answered in time."""
    from qtlib.domain.commands import Outcome, Verb
    from qtlib.runs.record.commands import ask

    account = settings_of(params or Path("params/sim.yaml"), p).params.session.account
    told = ask(account, Verb(verb), wait_s=wait_s, **what)
    took = "" if told["seconds"] is None else f" after {told['seconds']:.2f} s"
    line = f"{verb} of account {account}: {told['outcome']}{took}: {told['words']}"
    respond(told, as_json, lambda out: out.print(line, highlight=False, markup=False, soft_wrap=True))
    if told["outcome"] == Outcome.REFUSED.value:
        raise typer.Exit(3)
    if told["outcome"] != Outcome.DONE.value and told["session"]:
        raise typer.Exit(1)


def _show_recovery(out: "Console", answer: Mapping[str, Any]) -> None:
    would = "did" if answer["acted"] else "would do"
    if answer["agree"]:
        out.print(f"account {answer['account']}: journal and exchange agree, and what is held is protected")
    for row in answer["symbols"]:
        sides = f"the journal holds {row['journal']}, the exchange {row['exchange']}"
        out.print(f"\n{row['symbol'] or 'the account'}{': ' + sides if row['symbol'] else ''}", style="bold")
        for line in row["evidence"]:
            out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        for line in row["then"]:
            out.print(f"  → {would}: {line}", highlight=False, markup=False, soft_wrap=True)


def _show_status(out: "Console", answer: Mapping[str, Any]) -> None:
    held, run = answer["journal"], answer["run"]
    if held is None:
        out.print(f"account {answer['account']}: no journal yet; `qt live` begins one", highlight=False)
    else:
        cause = f" ({held['cause']})" if held["cause"] else ""
        out.print(
            f"account {answer['account']}: {held['status']}{cause}, equity {held['equity_quote']:,.2f}, "
            f"cash {held['cash_quote']:,.2f}; venue time {held['as_of']}, written {age(held['written_age_s'])}",
            highlight=False,
        )
        columns = ("symbol", "side", "quantity", "entry_price", "price", "unrealized_quote", "protected", "opened")
        table(out, "positions", [{c: row[c] for c in columns} for row in held["positions"]])
        if (universe := held["universe"]) is not None:
            since = ", ".join(f"{symbol} since {ts[:16]}" for symbol, ts in universe["members"].items()) or "nobody"
            out.print(f"universe since {universe['changed'][:16]}: {since}", highlight=False, soft_wrap=True)
            gone = ", ".join(f"{symbol} {why.replace('_', ' ')}" for symbol, why in universe["out"].items())
            out.print(f"  out: {gone or 'nobody'}", highlight=False, soft_wrap=True)
        for asked in held["waiting"]:
            out.print(f"{asked['command']} waits, asked by {asked['by']} at {asked['asked']}", highlight=False)
    if run is not None:
        far = f", {run['done']} of {run['total']} bars" if run["done"] is not None else ""
        beat = f", last sign of life {age(run['last_beat_age_s'])}" if run["last_beat_age_s"] is not None else ""
        started = age(run["started_age_s"])
        out.print(f"newest run {run['run_id']}: {run['status']}, started {started}{far}{beat}", highlight=False)
        if (page := run["health"]) is not None:
            loops = ", ".join(f"{name} {loop['age_s']:.1f} s ago" for name, loop in page["loops"].items())
            link = {True: "answers", False: "does not answer", None: "was not asked yet"}[page["exchange"]["reachable"]]
            out.print(f"health {page['status']}: {loops}; the exchange {link}", highlight=False)


def _show_brake(out: "Console", account: str, found: Mapping[str, Any] | None) -> None:
    if found is None:
        out.print(f"nothing holds account {account} back", highlight=False)
        return
    out.print(f"account {account} is {found['status']}: {found['cause']}", highlight=False, markup=False)
    out.print(
        f"since {found['since']}, by {found['by']}; equity then {found['equity_then_quote']:,.2f}, "
        f"now {found['equity_now_quote']:,.2f}",
        highlight=False,
    )
    table(out, "positions", found["positions"])
    if found["command"] == "pause":
        out.print("`qt resume` ends a pause", highlight=False)
        return
    minutes = found["code_holds_s"] / 60
    out.print(f"to trade again, within {minutes:.0f} minutes: qt rearm --confirm {found['code']}", highlight=False)
    out.print("the drawdown is counted from the equity of that moment; limits stay as they are", highlight=False)
