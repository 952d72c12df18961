"""`qt`: every command is a thin way in to something that notebooks can call as well.

Standard output holds the answer (with `--json`, one JSON object and nothing else); progress and errors go to standard
error. An error is a sentence or two with its numbers and the next step; `--debug` shows where it came from. Exit
codes are those of `qtlib.runs.ends`.

Imports of the rooms stand inside the commands: with them at the top `qt --help` took 3.5 s instead of 0.3 s (papermill
alone compiles a grammar for a second).
"""
# ruff: noqa: PLC0415  measured cold start, as the docstring says

import errno
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from qtlib.exchanges.simulated.served import Desk
    from qtlib.params import Resolved

app = typer.Typer(
    help="Quantum Trader: from a first look at the data to trading, in notebooks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(help="Bars on disk: what is there, what is wrong with it, and simulated ones.", no_args_is_help=True)
runs = typer.Typer(help="The folders of past runs.", no_args_is_help=True)
app.add_typer(data, name="data", rich_help_panel=None)
app.add_typer(runs, name="runs", rich_help_panel=None)

ParamsFile = Annotated[Path | None, typer.Option("--params", help="Settings, as in params/sim.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("-p", metavar="SECTION.KEY=VALUE", help="One setting; may be given many times.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]


def main() -> None:
    """The way in; whatever goes wrong below ends here, as a sentence and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        _fall_silent()
        sys.exit(1)
    except Exception as e:
        sys.exit(_failed(e))


@app.command(epilog="Example: qt live --params params/sim.yaml -p limits.max_positions=2")
def live(
    once: Annotated[
        bool, typer.Option("--once", help="One pass: recover, decide on the newest bar, settle, end.")
    ] = False,
    every: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="A pass each so many seconds, each in a fresh process.")
    ] = None,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Trade: run notebooks/live.ipynb into run folders, from the journal of the account, until it is told to end.

    What dies is started again, and each day the session goes on in a fresh kernel and folder.
    """
    if once and every is not None:
        raise typer.BadParameter("--once is one pass and --every many: give one of them")
    words = ["session.once=true", "session.max_bars=1"] if once else []
    words += [] if every is None else ["session.event_driven=false", f"session.check_interval_s={every}"]
    _run("live", params or Path("params/sim.yaml"), [*(p or []), *words], as_json, debug)


@app.command(epilog="Example: qt backtest -p data.seed=8 --json")
def backtest(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """The same session over past or simulated bars, all in memory: run notebooks/backtest.ipynb."""
    _run("backtest", params or Path("params/backtest.yaml"), p, as_json, debug)


@data.command("list", epilog="Example: qt data list bars/")
def data_list(
    folder: Annotated[Path | None, typer.Argument(help="Where the bars are; else runs/market.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Which symbols and periods are there."""
    from qtlib.market import Store
    from qtlib.runs.folder import RunsError, runs_root

    where = folder or runs_root() / "market"
    if not where.is_dir():
        raise RunsError(f"there is no folder {where}; `qt data simulate` fills runs/market, or name another folder")
    there = Store(where).list()
    rows = [{str(k): _plain(v) for k, v in row.items()} for row in there.to_dict("records")]
    brief = [{name: value for name, value in row.items() if name != "source"} for row in rows]
    _answer({"folder": str(where), "files": rows}, as_json, lambda out: _table(out, str(where), brief))


@data.command("check", epilog="Example: qt data check --params params/replay.yaml -p data.path=bars/")
def data_check(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Read the bars that these settings name, with every check; exit 2 if they may not be traded."""
    from qtlib.runs import wiring

    market = wiring.market(_resolved(params or Path("params/sim.yaml"), p).params)
    report = market.report()
    answer = {
        "ok": True,
        "source": market.source,
        "simulated": market.simulated,
        "fingerprint": market.fingerprint,
        "symbols": list(market.symbols),
        "first": market.first.isoformat(),
        "last": market.last.isoformat(),
        "findings": [str(finding) for finding in market.findings],
        "notes": list(market.notes),
    }
    _answer(answer, as_json, lambda out: out.print(str(report), markup=False, highlight=False, soft_wrap=True))


@data.command("simulate", epilog="Example: qt data simulate -p data.bars=5000 -p data.seed=8")
def data_simulate(
    params: ParamsFile = None,
    p: Overrides = None,
    to: Annotated[Path | None, typer.Option(help="The folder to write to; else runs/market.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write the simulated market of these settings to disk, labelled as simulated."""
    from qtlib.market import Store
    from qtlib.params import SettingsError
    from qtlib.runs import wiring
    from qtlib.runs.folder import runs_root

    settings = _resolved(params or Path("params/sim.yaml"), p).params
    if settings.data.source != "simulated":
        raise SettingsError(f"data.source is {settings.data.source}; only a simulated market can be made")
    where = to or runs_root() / "market"
    market = wiring.market(settings)
    files = [path.name for path in Store(where).write(market)]
    answer = {"folder": str(where), "source": market.source, "simulated": True, "files": files}
    _answer(answer, as_json, lambda out: out.print(f"{market.source}: {len(files)} files in {where}", highlight=False))


@runs.command("list", epilog="Example: qt runs list --kind live --last 5")
def runs_list(
    kind: Annotated[str | None, typer.Option(help="Only live, backtest, …")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Past runs, newest first, and how they ended; `died` is a run whose process went without a word."""
    from itertools import islice

    from qtlib.runs.folder import runs as all_runs
    from qtlib.runs.folder import runs_root

    found = list(islice((f for f in all_runs() if kind in (None, f.kind)), last))
    rows = [_run_row(folder.record()) for folder in found]
    _answer({"folder": str(runs_root()), "runs": rows}, as_json, lambda out: _table(out, str(runs_root()), rows))


@runs.command("show", epilog="Example: qt runs show latest")
def runs_show(
    run: Annotated[str, typer.Argument(help="Its name, a part that no other has, or latest.")] = "latest",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """One run: how it ended, its figures and its files."""
    from qtlib.runs.folder import find

    folder = find(run)
    record = folder.record()

    def show(out: "Console") -> None:
        _summary(out, folder.path, record)
        if error := record.get("error"):
            out.print(f"{error['type']}: {error['message']}", markup=False, highlight=False)
            out.print(error.get("traceback", "") if debug else "", markup=False, highlight=False, end="")

    _answer(record, as_json, show)


@runs.command("clean", epilog="Example: qt runs clean --keep 10 --yes")
def runs_clean(
    keep: Annotated[int, typer.Option(min=1, help="How many of each kind stay.")] = 20,
    kind: Annotated[str | None, typer.Option(help="Only live, backtest, …")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this they are only named.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove old runs; never one that runs, nor a live one of the last 30 days."""
    from datetime import UTC, datetime

    from qtlib.runs.folder import disposable, remove

    old = disposable(keep, datetime.now(UTC), kind=kind)
    for folder in old if yes else []:
        remove(folder)
    names = [folder.run_id for folder in old]
    done = "removed" if yes else "would be removed; --yes does it"
    _answer(
        {"removed": names if yes else [], "would_remove": [] if yes else names},
        as_json,
        lambda out: out.print("\n".join([*names, f"{len(names)} runs {done}"]), highlight=False),
    )


@app.command(epilog="Example: qt lab --port 8890 --no-browser")
def lab(
    port: Annotated[int, typer.Option(help="On the loopback interface; the next free one if it is taken.")] = 8888,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Name the command that would run, and stop.")] = False,
    debug: Debug = False,
) -> None:
    """JupyterLab, on the tour; it runs until Ctrl-C."""
    from qtlib.runs.folder import HOME

    tour = HOME / "notebooks" / "tour.ipynb"
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={HOME}", "--ServerApp.ip=127.0.0.1"]
    words += [f"--ServerApp.port={port}", *([] if browser else ["--no-browser"])]
    words += [f"--LabApp.default_url=/lab/tree/notebooks/{tour.name}"] if tour.exists() else []
    words += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # a container has nobody else
    if as_json:
        print(json.dumps({"command": words}))
        return
    os.execv(sys.executable, words)


@app.command(epilog="Example: qt status -p session.account=main --json")
def status(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """What the account holds, whether it is protected, and what the newest run does; with the age of each figure."""
    from qtlib.runs.overview import overview

    settings = _resolved(params or Path("params/sim.yaml"), p).params
    answer = overview(settings.session.account)
    _answer(answer, as_json, lambda out: _show_status(out, answer))


Wait = Annotated[float, typer.Option("--wait", metavar="SECONDS", help="For the session's answer.")]


@app.command(epilog="Example: qt pause --json")
def pause(
    wait: Wait = 5.0, params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Nothing grows, until `qt resume`: no entries; what is open stays protected and is left as planned."""
    _ask("pause", wait, params, p, as_json)


@app.command(epilog="Example: qt resume --json")
def resume(
    wait: Wait = 5.0, params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """End a pause; anything else that holds trading back needs `qt rearm`."""
    _ask("resume", wait, params, p, as_json)


@app.command(epilog="Example: qt reduce --json")
def reduce(
    wait: Wait = 5.0, params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Nothing grows, until `qt rearm`."""
    _ask("reduce", wait, params, p, as_json)


@app.command(epilog="Example: qt flatten --json")
def flatten(
    wait: Wait = 5.0, params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Close everything at market now, and open nothing until `qt rearm`."""
    _ask("flatten", wait, params, p, as_json)


@app.command(epilog="Example: qt kill --json")
def kill(
    wait: Wait = 5.0, params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """The kill switch: close everything at market now; no session of this account enters again until `qt rearm`."""
    _ask("kill", wait, params, p, as_json)


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
        _ask("rearm", wait, params, p, as_json, confirm)
        return
    from qtlib.runs.commands import brake

    account = _resolved(params or Path("params/sim.yaml"), p).params.session.account
    found = brake(account)
    _answer({"account": account, "brake": found}, as_json, lambda out: _show_brake(out, account, found))


@app.command(epilog="Example: qt recover --plan -p session.account=main")
def recover(
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it would do, and on what evidence.")] = False,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Bring journal and exchange together, and protect what is held, as every session does when it starts."""
    from qtlib.runs.recovery import recovery

    answer = recovery(_resolved(params or Path("params/sim.yaml"), p), act=not plan)
    _answer(answer, as_json, lambda out: _show_recovery(out, answer))


@app.command(epilog="Example: qt doctor --params params/replay.yaml -p data.path=bars/")
def doctor(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Check everything that can be checked before anything is at stake; exit 3 if something refuses."""
    from qtlib.runs.doctor import examine
    from qtlib.runs.folder import runs_root

    findings = examine(_resolved(params or Path("params/sim.yaml"), p).params, runs_root())
    rows = [{"check": f.check, "ok": f.ok, "found": f.words} for f in findings]
    shown = [{"check": f.check, "": "ok" if f.ok else "REFUSED", "found": f.words} for f in findings]
    ok = all(f.ok for f in findings)
    _answer({"ok": ok, "checks": rows}, as_json, lambda out: _table(out, "doctor", shown))
    if not ok:
        raise typer.Exit(3)


@app.command(epilog="Example: qt drill --minutes 10 --seed 8")
def drill(
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Strike again and again for so long; else with each strike once.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the market, and of the order in which it is struck.")] = 7,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Strike a session on the simulated exchange on purpose (kills, cuts, faults), and report what survived.

    It trades an account of its own in a folder of its own, under runs/drill. Exit 1 if something did not survive.
    """
    from qtlib.runs.drill import drill as struck

    out = _console(stderr=True)

    def tell(line: str) -> None:
        out.print(line, highlight=False, markup=False, soft_wrap=True)

    report = struck(_resolved(params or Path("params/sim.yaml"), p), minutes, seed, tell=tell)
    rows = [
        {
            "strike": one.what,
            "what happened": one.happened,
            "trading again [s]": "not" if one.again_s is None else f"{one.again_s:.1f}",
            "without a stop [s]": f"{one.bare_s:.1f}",
        }
        for one in report.struck
    ]
    title = f"{report.left.orders} orders, {report.left.fills} fills in {report.seconds:.0f} s; {report.folder}"

    def show(console: "Console") -> None:
        _table(console, title, rows)
        console.print(report.verdict, highlight=False, markup=False, soft_wrap=True)

    _answer(report.document, as_json, show)
    if not report.survived:
        raise typer.Exit(1)


@app.command(epilog="Example: qt exchange --port 8080 --speed 3600 --state runs/venue.db")
def exchange(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="On the loopback interface; 0: any that is free.")
    ] = 8080,
    speed: Annotated[str, typer.Option(help="Simulated time over wall time, or step: by POST /sim/step.")] = "1",
    data: Annotated[Path | None, typer.Option(help="A folder of bars; else the simulated market.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of the bars that the market goes by, as 1m or 1h.")] = None,
    begins: Annotated[
        str | None, typer.Option("--from", metavar="UTC", help="When the account begins; bars before are past.")
    ] = None,
    past: Annotated[
        int, typer.Option(metavar="BARS", min=1, help="Without --from: how many bars are past when it begins.")
    ] = 500,
    state: Annotated[
        Path | None, typer.Option(help="The file it is kept in (and FILE.orders beside it): it survives being killed.")
    ] = None,
    balance: Annotated[str | None, typer.Option(help="What the account begins with [quote].")] = None,
    key: Annotated[str, typer.Option(help="What clients send as their key.")] = "sim",
    secret: Annotated[str, typer.Option(help="What clients sign with.")] = "sim",
    paper: Annotated[
        str | None,
        typer.Option(metavar="VENUE", help="Follow the market of live, demo, or a served venue's address: mode paper."),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(help="What goes wrong on purpose: YAML of seed and faults, as GET /sim/faults has it."),
    ] = None,
    until_pid: Annotated[
        int | None, typer.Option(metavar="PID", help="End, in order, when that process is gone: nothing is orphaned.")
    ] = None,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Serve the simulated venue in the real one's REST and WebSocket protocol, on loopback, until it is told to end.

    It is ready when GET /fapi/v1/ping answers. Bars, orders, trades and events carry the simulated market's time;
    serverTime, and what clients sign with, is wall time. GET /sim says where the market stands, and POST
    /sim/step?bars=N lives through N bars at once, at any speed. GET and POST /sim/faults say and set what goes wrong.
    """
    import asyncio
    import logging
    from functools import partial

    from qtlib.exchanges.simulated.served import Doors
    from qtlib.exchanges.simulated.served.auth import Credentials
    from qtlib.exchanges.simulated.served.limits import times_of
    from qtlib.runs.exchange import PAST_BARS, faults_of, following, instant, keep_open, opened, speed_of

    given = {"data.path": data, "data.timeframe": timeframe, "venue.balance": balance}
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    words += ["data.source=files", "data.bars=null"] if data else []
    settings = _resolved(params or Path("params/sim.yaml"), [*(p or []), *words])
    factor, going_wrong = speed_of(speed), faults_of(faults)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")  # to standard error
    followed = paper or ("live" if settings.params.mode == "paper" else None)
    open_doors = partial(Doors, credentials=Credentials(key, secret), faults=going_wrong)

    def ready(desk: "Desk", market: str, bound: int) -> None:
        answer = {"url": f"http://127.0.0.1:{bound}", "now": desk.now.isoformat(), "speed": speed}
        words = f"{market}\nit is {desk.now:%Y-%m-%d %H:%M} UTC there; {answer['url']}, speed {speed}"
        print(json.dumps(answer) if as_json else words, flush=True)

    async def serve() -> None:
        if followed is None:
            desk, coming = opened(settings.params, state, instant(begins) if begins else None, past)
            doors = open_doors(desk, coming, speed=factor, times=times_of(factor))
            await keep_open(doors, port, partial(ready, desk, _market_words(settings)), until_pid)
            return
        long_past = max(past, PAST_BARS)  # where nothing is made up, clients learn of the past from here only
        async with following(settings.params, followed, state, long_past) as (desk, upstream):
            market = (
                f"the market of {upstream.standing['url']}, our own engine (fees, brackets as recorded): no real money"
            )
            doors = open_doors(desk, iter(()), upstream=upstream)
            await keep_open(doors, port, partial(ready, desk, market), until_pid)

    asyncio.run(serve())


def _ask(verb: str, wait_s: float, params: Path | None, p: list[str] | None, as_json: bool, code: str = "") -> None:
    """Leave a command for the session, show its answer; exit 3 if it was refused, 1 if nobody answered in time."""
    from qtlib.domain.commands import Outcome, Verb
    from qtlib.runs.commands import ask

    account = _resolved(params or Path("params/sim.yaml"), p).params.session.account
    told = ask(account, Verb(verb), code=code, wait_s=wait_s)
    took = "" if told["seconds"] is None else f" after {told['seconds']:.2f} s"
    line = f"{verb} of account {account}: {told['outcome']}{took}: {told['words']}"
    _answer(told, as_json, lambda out: out.print(line, highlight=False, markup=False, soft_wrap=True))
    if told["outcome"] == Outcome.REFUSED.value:
        raise typer.Exit(3)
    if told["outcome"] != Outcome.DONE.value and told["session"]:
        raise typer.Exit(1)


# --- running ----------------------------------------------------------------------------------------------


def _run(kind: str, file: Path, overrides: list[str] | None, as_json: bool, debug: bool) -> None:
    """Check the settings, run the notebook, show how it ended."""
    resolved = _resolved(file, overrides)

    from qtlib.runs.preflight import preflight

    settings = resolved.params
    preflight(kind, settings)  # before the rooms below are loaded: papermill alone takes a second

    from qtlib.runs.ends import sentence
    from qtlib.runs.folder import HOME
    from qtlib.runs.progress import Watching

    out = _console(stderr=as_json)
    out.print(
        f"{kind} · mode {settings.mode} · {_market_words(resolved)} · settings {resolved.hash[:12]}", highlight=False
    )
    for line in resolved.lines():
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True, style="dim")
    notebook = HOME / "notebooks" / f"{kind}.ipynb"
    outcome = None
    try:
        with Watching(out) as watching:
            if kind == "live":
                from qtlib.runs.supervisor import supervise

                ours = settings.mode in ("sim", "paper")  # the venue: a process beside the session
                outcome = supervise(notebook, resolved, venue=ours, on_line=watching.line, on_beat=watching.beat)
            else:
                from qtlib.runs.runner import run_notebook
                from qtlib.runs.segment import page

                outcome = run_notebook(
                    kind, notebook, resolved, export=page(settings), on_line=watching.line, on_beat=watching.beat
                )
        error = outcome.record["error"]
        if outcome.folder is None:  # it ended before there was anything to show
            _say(error["message"] if error else "interrupted")
            raise typer.Exit(outcome.exit_code)
        if as_json:
            print(json.dumps({**outcome.record, "folder": str(outcome.folder.path)}, ensure_ascii=False), flush=True)
        else:
            _summary(out, outcome.folder.path, outcome.record)
            if outcome.record["status"] == "ok" and not (outcome.record["metrics"] or {}).get("bars"):
                out.print("no bar was traded: the account's journal stands at the end of them already")
        if outcome.exit_code:
            _say(sentence(outcome.record["status"], error))
            if debug and error:
                _say(error.get("traceback", ""))
    except OSError as e:
        if outcome is None or e.errno not in (errno.EIO, errno.EPIPE):
            raise
        _fall_silent()  # the terminal was closed meanwhile: the exit code still says how the run ended
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def _resolved(file: Path, overrides: list[str] | None) -> "Resolved":
    """The settings, from a file named as from here, or as from the project's folder."""
    from qtlib.params import resolve
    from qtlib.runs.folder import HOME

    own = file if file.exists() or file.is_absolute() or not (HOME / file).exists() else HOME / file
    return resolve(own, overrides or [], os.environ)


def _market_words(resolved: "Resolved") -> str:
    given, mode = resolved.params.data, resolved.params.mode
    if mode in ("paper", "demo"):
        market = "real public prices, simulated venue" if mode == "paper" else "the venue's demo market"
        return f"{market}: no real money"
    if given.source == "simulated":
        return f"SIMULATED market (seed {given.seed}), simulated venue: no real prices, no real money"
    return f"bars from {given.path}, simulated venue: no real money"


# --- saying -----------------------------------------------------------------------------------------------


def _failed(error: Exception) -> int:
    """Say what went wrong; the exit code."""
    from qtlib.runs.atomic import redact
    from qtlib.runs.ends import end_of, known

    number = getattr(error, "errno", None)
    _, code = end_of([kind.__name__ for kind in type(error).__mro__], number)
    if "--debug" in sys.argv:
        _say(redact("".join(traceback.format_exception(error)).rstrip()))
    elif known(error) or isinstance(error, OSError):
        _say(redact(str(error)))
    else:
        _say(redact(f"{type(error).__name__}: {error}. This should not happen: --debug shows where it did."))
    return 2 if isinstance(error, OSError) and code == 1 else code


def _fall_silent() -> None:
    """Who read us has gone: what is still to be said, also what Python flushes at its end, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _console(stderr: bool = False) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr)
    if not console.is_terminal:
        console.width = 200  # a file or a pipe has no edge to wrap at
    return console


def _answer(value: Mapping[str, Any], as_json: bool, show: "Callable[[Console], None]") -> None:
    """`value` as one JSON object, or as people read it."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False, default=str))
    else:
        show(_console())


def _table(out: "Console", title: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    if not rows:
        out.print(f"{title}: nothing there", highlight=False, markup=False)
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if isinstance(value, int | float) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out.print(table)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 10_000 else f"{value:,.6g}"
    return escape(str(value))


def _run_row(record: Mapping[str, Any]) -> dict[str, Any]:
    figures = record.get("metrics") or {}
    return {
        "run": record["run_id"],
        "status": record["status"],
        "seconds": record.get("seconds"),
        "trades": figures.get("trades"),
        "net_pnl_quote": figures.get("net_pnl_quote"),
        "max_drawdown_frac": figures.get("max_drawdown_frac"),
    }


_SHOWN = {
    "trades": "trades",
    "win_rate_frac": "win rate (frac)",
    "net_pnl_quote": "net P&L (quote)",
    "fees_quote": "fees (quote)",
    "funding_quote": "funding (quote)",
    "final_equity_quote": "final equity (quote)",
    "max_drawdown_frac": "max drawdown (frac)",
    "sharpe": "Sharpe ratio (annual)",
    "max_open_positions": "most positions at once",
    "naked_seconds_max": "longest without a stop (s)",
    "bars": "bars",
}


def _summary(out: "Console", folder: Path, record: Mapping[str, Any]) -> None:
    from rich.table import Table

    figures = record.get("metrics") or {}
    traded = record.get("data") or {}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, words in _SHOWN.items():
        if name in figures:
            value = figures[name]
            table.add_row(words, f"{value:,.4f}" if isinstance(value, float) else _cell(value))
    out.print(f"\n{record['run_id']}: {record['status']}", highlight=False)
    if traded:
        out.print(f"market: {traded.get('source')}{' (simulated)' if traded.get('simulated') else ''}", highlight=False)
    if figures:
        out.print(table)
    for what, name in (record.get("files") or {}).items():
        if name and what in ("notebook", "report"):
            out.print(f"{what:9} {folder / name}", soft_wrap=True, highlight=False, markup=False)


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
            f"cash {held['cash_quote']:,.2f}; venue time {held['as_of']}, written {_age(held['written_age_s'])}",
            highlight=False,
        )
        columns = ("symbol", "side", "quantity", "entry_price", "price", "unrealized_quote", "protected", "opened")
        _table(out, "positions", [{c: row[c] for c in columns} for row in held["positions"]])
        for asked in held["waiting"]:
            out.print(f"{asked['command']} waits, asked by {asked['by']} at {asked['asked']}", highlight=False)
    if run is not None:
        far = f", {run['done']} of {run['total']} bars" if run["done"] is not None else ""
        beat = f", last sign of life {_age(run['last_beat_age_s'])}" if run["last_beat_age_s"] is not None else ""
        started = _age(run["started_age_s"])
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
    _table(out, "positions", found["positions"])
    if found["command"] == "pause":
        out.print("`qt resume` ends a pause", highlight=False)
        return
    minutes = found["code_holds_s"] / 60
    out.print(f"to trade again, within {minutes:.0f} minutes: qt rearm --confirm {found['code']}", highlight=False)
    out.print("the drawdown is counted from the equity of that moment; limits stay as they are", highlight=False)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "at a time unknown"
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _plain(value: Any) -> Any:
    """A figure of a frame, as JSON has it."""
    if hasattr(value, "isoformat"):
        return None if str(value) == "NaT" else value.strftime("%Y-%m-%dT%H:%MZ")
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
