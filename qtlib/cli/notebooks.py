"""Commands that run a notebook into a run folder, and open JupyterLab."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

import errno
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, app
from qtlib.cli.saying import cell, console, fall_silent, say
from qtlib.cli.settings import market_words, settings_of

if TYPE_CHECKING:
    from rich.console import Console

    from qtlib.params import Resolved
    from qtlib.runs.execution.kernel import Waiting


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
    run("live", params or Path("params/sim.yaml"), [*(p or []), *words], as_json, debug)


@app.command(epilog="Example: qt backtest -p data.seed=8 --json")
def backtest(
    engine: Annotated[
        str | None, typer.Option(metavar="compiled|event", help="Who trades; both trade the same (session.engine).")
    ] = None,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """The same session over past or simulated bars, all in memory: run notebooks/backtest.ipynb."""
    words = [] if engine is None else [f"session.engine={engine}"]
    run("backtest", params or Path("params/backtest.yaml"), [*(p or []), *words], as_json, debug)


@app.command(epilog="Example: qt sweep -p sweep.search=bayes -p sweep.trials=200")
def sweep(
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask cluster does the work, as tcp://127.0.0.1:8786.")
    ] = None,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Many settings over the same bars, on every core or a cluster: run notebooks/sweep.ipynb.

    Killed or stopped at any instant, it goes on where it was when it is started again.
    """
    words = [] if scheduler is None else [f"sweep.scheduler={scheduler}"]
    run("sweep", params or Path("params/sweep.yaml"), [*(p or []), *words], as_json, debug)


@app.command(epilog="Example: qt parity -p session.account=main")
def parity(
    of: Annotated[str | None, typer.Argument(help="A live run; none: all runs of the newest one's account.")] = None,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """The session beside the backtest: its journal replayed, and each trade's difference put to its cause.

    Settings are those that the session's own records have.
    """
    from qtlib.runs.record.folder import find

    if of is None:
        run("parity", params or _newest_session(p), [OWN_TITLE, *(p or [])], as_json, debug)
    else:
        meant, words = find(of), [OWN_TITLE, *(p or [])]
        run("parity", params or meant / "params.yaml", [*words, f"parity.of={meant.run_id}"], as_json, debug)


@app.command(epilog="Example: qt postmortem 2026-03-01")
def postmortem(
    of: Annotated[str | None, typer.Argument(help="A trade's id, a symbol, or a day; none: the last trade.")] = None,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """One trade or one day, from the account's journal: beliefs, rules, orders, the price's way, costs, and what if."""
    words = [] if of is None else [f"postmortem.of={of}"]
    run("postmortem", params or _newest_session(p), [OWN_TITLE, *(p or []), *words], as_json, debug)


@app.command(epilog="Example: qt lab --port 8890 --no-browser")
def lab(
    port: Annotated[int, typer.Option(help="On the loopback interface; the next free one if it is taken.")] = 8888,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Name the command that would run, and stop.")] = False,
    debug: Debug = False,
) -> None:
    """JupyterLab, on the page that says where to begin; it runs until Ctrl-C."""
    from qtlib.runs.record.folder import HOME

    first = HOME / "notebooks" / "launcher.ipynb"
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={HOME}", "--ServerApp.ip=127.0.0.1"]
    words += [f"--ServerApp.port={port}", *([] if browser else ["--no-browser"])]
    words += [f"--LabApp.default_url=/lab/tree/notebooks/{first.name}"] if first.exists() else []
    words += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # a container has nobody else
    if as_json:
        print(json.dumps({"command": words}))
        return
    os.execv(sys.executable, words)


@app.command(epilog="Example: qt panel --port 8866 -p session.account=main")
def panel(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="On the loopback interface.")] = 8866,
    token: Annotated[str | None, typer.Option(help="What the page asks for; else one that is made up.")] = None,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Name the address and the command, and stop.")] = False,
    debug: Debug = False,
) -> None:
    """The control panel alone, as a page: it runs until Ctrl-C, and the session goes on without it.

    The page is on this machine only, and its address holds a token, as whoever opens it may command the session.
    """
    from qtlib.runs.session.page import environment, served

    settings_of(params or Path("params/sim.yaml"), p)  # a wrong one is said here, and not on an empty page
    url, words = served(port, token)
    if as_json:
        print(json.dumps({"url": url, "command": words}))
        return
    say(f"the control panel, once it is warm: {url}")
    os.execve(sys.executable, words, environment(params, p or []))


OWN_TITLE = "report.title=null"  # not that of the session whose settings these are


def _newest_session(overrides: list[str] | None) -> Path:
    """The settings of the newest live run, of the account if one is named; before there is any, those to begin with."""
    from qtlib.runs.record.folder import runs

    account = next((word.partition("=")[2] for word in overrides or [] if word.startswith("session.account=")), None)
    live = (folder for folder in runs() if folder.kind == "live" and (folder / "params.yaml").exists())
    meant = (folder for folder in live if account in (None, folder.record().get("session_id")))
    return next((folder / "params.yaml" for folder in meant), Path("params/sim.yaml"))


def run(kind: str, file: Path, overrides: list[str] | None, as_json: bool, debug: bool) -> None:
    """Check the settings, run the notebook, show how it ended."""
    resolved = settings_of(file, overrides)

    from qtlib.runs.execution.kernel import Waiting, without_keys
    from qtlib.runs.record.folder import HOME

    notebook = HOME / "notebooks" / f"{kind}.ipynb"
    if kind == "live":  # whose segments have a kernel each
        _run(kind, notebook, resolved, None, as_json, debug)
    else:
        with Waiting(notebook, without_keys(os.environ)) as kernel:  # it loads while we check and load
            _run(kind, notebook, resolved, kernel, as_json, debug)


def _run(kind: str, notebook: Path, resolved: "Resolved", kernel: "Waiting | None", as_json: bool, debug: bool) -> None:
    from qtlib.runs.execution.preflight import preflight

    settings = resolved.params
    preflight(kind, settings)  # before the rooms below are loaded: papermill alone takes a second

    from qtlib.runs.record.ends import sentence
    from qtlib.runs.record.progress import Watching

    out = console(stderr=as_json)
    out.print(
        f"{kind} · mode {settings.mode} · {market_words(resolved)} · settings {resolved.hash[:12]}", highlight=False
    )
    for line in resolved.lines():
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True, style="dim")
    outcome = None
    try:
        with Watching(out) as watching:
            if kind == "live":
                from qtlib.runs.execution.supervisor import supervise

                ours = settings.mode in ("sim", "paper")  # the venue: a process beside the session
                outcome = supervise(notebook, resolved, venue=ours, on_line=watching.line, on_beat=watching.beat)
            else:
                from qtlib.runs.execution.runner import run_notebook
                from qtlib.runs.execution.segment import page

                outcome = run_notebook(
                    kind,
                    notebook,
                    resolved,
                    export=page(settings),
                    kernel=kernel,
                    on_line=watching.line,
                    on_beat=watching.beat,
                )
        error = outcome.record["error"]
        if outcome.folder is None:  # it ended before there was anything to show
            say(error["message"] if error else "interrupted")
            raise typer.Exit(outcome.exit_code)
        if as_json:
            print(json.dumps({**outcome.record, "folder": str(outcome.folder.path)}, ensure_ascii=False), flush=True)
        else:
            summary(out, outcome.folder.path, outcome.record)
            trades = kind in ("live", "backtest")
            if trades and outcome.record["status"] == "ok" and not (outcome.record["metrics"] or {}).get("bars"):
                out.print("no bar was traded: the account's journal stands at the end of them already")
        if outcome.exit_code:
            say(sentence(outcome.record["status"], error))
            if debug and error:
                say(error.get("traceback", ""))
    except OSError as e:
        if outcome is None or e.errno not in (errno.EIO, errno.EPIPE):
            raise
        fall_silent()  # the terminal was closed meanwhile: the exit code still says how the run ended
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


_SHOWN = {
    "decisions": "decisions",
    "decisions_differing": "decisions that differ",
    "trades": "trades",
    "trades_differing": "trades that differ",
    "win_rate_frac": "win rate (frac)",
    "net_pnl_quote": "net P&L (quote)",
    "replayed_net_pnl_quote": "net P&L of the replay (quote)",
    "difference_quote": "difference (quote)",
    "fees_quote": "fees (quote)",
    "funding_quote": "funding (quote)",
    "final_equity_quote": "final equity (quote)",
    "max_drawdown_frac": "max drawdown (frac)",
    "sharpe": "Sharpe ratio (annual)",
    "max_open_positions": "most positions at once",
    "naked_seconds_max": "longest without a stop (s)",
    "bars": "bars",
    "expectancy_r": "expectancy (R)",
    "expectancy_r_at_least": "its lower bound (R)",
    "auc": "area under the ROC curve",
    "brier": "Brier score",
    "brier_base": "Brier score of the base rate",
    "calibration_error": "calibration error (frac)",
    "trials": "trials",
    "best_score": "best score",
    "median_score": "median score",
    "neighbours_median_score": "median score of its neighbours",
    "deflated_sharpe": "deflated Sharpe (probability of skill)",
    "overfitting_probability": "probability of overfitting",
    "forward_sharpe": "walk-forward Sharpe ratio (annual)",
    "forward_return_frac": "walk-forward return (frac)",
}


def summary(out: "Console", folder: Path, record: Mapping[str, Any]) -> None:
    from rich.table import Table

    figures = record.get("metrics") or {}
    traded = record.get("data") or {}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, words in _SHOWN.items():
        if name in figures:
            value = figures[name]
            table.add_row(words, f"{value:,.4f}" if isinstance(value, float) else cell(value))
    out.print(f"\n{record['run_id']}: {record['status']}", highlight=False)
    if traded:
        out.print(f"market: {traded.get('source')}{' (simulated)' if traded.get('simulated') else ''}", highlight=False)
    if traded.get("engine_note"):
        out.print(traded["engine_note"], highlight=False)
    if figures:
        out.print(table)
    if ruling := (record.get("model") or {}).get("words"):  # the gate's
        out.print(ruling, soft_wrap=True, highlight=False, markup=False)
    for what, name in (record.get("files") or {}).items():
        if name and what in ("notebook", "report"):
            out.print(f"{what:9} {folder / name}", soft_wrap=True, highlight=False, markup=False)
