"""`qt data`: bars on disk: into it, what is there, and what is wrong with it."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, data
from qtlib.cli.saying import plain, progress, respond, table
from qtlib.cli.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from qtlib.market.facts import Row

SETTINGS = Path("params/sim.yaml")  # where none are named


@data.command("list", epilog="Example: qt data list bars/")
def data_list(
    folder: Annotated[Path | None, typer.Argument(help="Where the bars are; else runs/market.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Which series are there: their spans, rows, gaps and sources."""
    from qtlib.market import Store
    from qtlib.runs.record.folder import RunsError, runs_root

    where = folder or runs_root() / "market"
    if not where.is_dir():
        raise RunsError(f"there is no folder {where}; `qt data import` and `qt data simulate` fill it, or name another")
    there = Store(where).list()
    rows = [{str(k): plain(v) for k, v in row.items()} for row in there.to_dict("records")]
    brief = [{name: value for name, value in row.items() if name != "source"} for row in rows]
    respond({"folder": str(where), "files": rows}, as_json, lambda out: table(out, str(where), brief))


@data.command("fetch", epilog="Example: qt data fetch BTCUSDT ETHUSDT --timeframe 1h --timeframe 5m --from 2024-01-01")
def data_fetch(
    symbols: Annotated[list[str], typer.Argument(help="As the venue that is traded on names them: BTCUSDT.")],
    timeframe: Annotated[list[str] | None, typer.Option(help="Of the bars: 1h unless said; many times.")] = None,
    begins: Annotated[
        str, typer.Option("--from", metavar="UTC", help="The first open; else all there is.")
    ] = "2017-01-01",
    ends: Annotated[str | None, typer.Option("--to", metavar="UTC", help="Before this; else up to now.")] = None,
    marks: Annotated[bool, typer.Option("--marks/--no-marks", help="Bars of the mark price, too.")] = True,
    funding: Annotated[bool, typer.Option("--funding/--no-funding", help="Funding rates, too.")] = True,
    venue: Annotated[str, typer.Option(help="As ccxt names it.")] = "binanceusdm",
    url: Annotated[str | None, typer.Option(help="Of a venue served by `qt exchange`: labelled as simulated.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Ask for everything again, holes included.")] = False,
    folder: Annotated[Path | None, typer.Option(help="The folder to write to; else runs/market.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Fetch bars, mark prices and funding that are missing; interrupted or killed, it goes on where it was.

    What was fetched before is not asked for again, but for the last bars, which the venue may have revised.
    """
    from qtlib.runs.data.bars import fetch_in, folder_of

    with progress() as tell:
        fetched = fetch_in(
            symbols, timeframe or ["1h"], begins, ends,
            marks=marks, funding=funding, venue=venue, url=url, to=folder, anew=anew, tell=tell,
        )  # fmt: skip
    rows = [
        {"series": str(one.name), "new": one.new, "revised": len(one.revised), "refused": one.refused}
        for one in fetched
    ]
    where = str(folder_of(venue, folder))
    refused = [one for one in fetched if one.refused]

    def show(out: "Console") -> None:
        table(out, where, [{k: v for k, v in row.items() if k != "refused"} for row in rows])
        for one in fetched:
            for difference in one.revised:
                out.print(f"{one.name}: revised: {difference}", markup=False, highlight=False, soft_wrap=True)
        for one in refused:
            out.print(f"{one.name}: {one.refused}", markup=False, highlight=False, soft_wrap=True)

    respond({"ok": not refused, "folder": where, "series": rows}, as_json, show)
    if refused:
        raise typer.Exit(2)


@data.command("import", epilog="Example: qt data import downloads/ --differing keep")
def data_import(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders of files.")],
    to: Annotated[Path | None, typer.Option(help="The folder to write to; else runs/market.")] = None,
    differing: Annotated[
        str, typer.Option(help="Where bars differ from those held: refuse, or which of them holds: keep, replace.")
    ] = "refuse",
    symbol: Annotated[str | None, typer.Option(help="Of a CSV or parquet file whose name does not say it.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="The same, as 5m or 1h.")] = None,
    kind: Annotated[str | None, typer.Option(help="The same: bars, mark or funding.")] = None,
    venue: Annotated[
        str | None, typer.Option(help="The same: binanceusdm, binance (spot), or as ccxt names it.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--map", metavar="OURS=THEIRS", help="A column, as time=Date; many times.")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Of times in words that name none, as UTC or Europe/Oslo.")] = None,
    stamped: Annotated[str, typer.Option(help="Which end of its bar a time is: open or close.")] = "open",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Bring in the venue's archive zips, freqtrade's files, CSV and parquet; exit 2 if something was refused.

    Every file is checked before any is stored. What differs from what is held is told bar by bar.
    """
    from qtlib.runs.data.bars import bring_in, folder_of, hints_of, told

    hints = hints_of(
        columns or [], symbol=symbol, timeframe=timeframe, kind=kind, venue=venue, zone=zone, stamped=stamped
    )
    with progress() as tell:
        brought = bring_in(paths, hints, differing, to, tell)
    refused = [one for one in brought if one.refused]
    rows = [dict(told(one)) for one in brought]
    differences = [
        {"series": d.series, "ts": d.ts, "column": d.column, "held": d.held, "offered": d.offered}
        for one in brought
        for d in one.differences
    ]
    where = str(folder_of(venue or "", to))
    answer = {"ok": not refused, "folder": where, "series": rows, "differences": differences}

    def show(out: "Console") -> None:
        table(out, where, [{k: v for k, v in row.items() if k not in ("refused", "notes")} for row in rows])
        for line in (
            line for one in brought for line in (*(f"{one.name}: {n}" for n in one.notes), one.refused) if line
        ):
            out.print(line, markup=False, highlight=False, soft_wrap=True)

    respond(answer, as_json, show)
    if refused:
        raise typer.Exit(2)


@data.command("check", epilog="Example: qt data check runs/market --report check.html")
def data_check(
    folder: Annotated[
        Path | None, typer.Argument(help="Survey all that is there; else what the settings name.")
    ] = None,
    symbols: Annotated[
        list[str] | None, typer.Option("--symbol", help="Only this one; may be given many times.")
    ] = None,
    refill: Annotated[
        int, typer.Option(min=1, help="Bars after an interruption until they are usable: a strategy's lookback.")
    ] = 200,
    report: Annotated[Path | None, typer.Option(help="Write a page with pictures here.")] = None,
    params: ParamsFile = None,
    p: Overrides = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """What is wrong with bars: all of FOLDER, or those that settings name; exit 2 if some may not be traded."""
    if folder is None:
        _check_settings(params, p, report, as_json)
        return
    from qtlib.market.survey import survey
    from qtlib.report.words import speaking
    from qtlib.runs.data.bars import facts_in, facts_told, write_report

    with progress() as tell:
        found = survey(folder, symbols, refill=refill, tell=tell)
    facts = facts_in(found)
    if report is not None:
        with speaking(settings_of(params or SETTINGS, p).params.report.language):
            write_report(found, facts, report)
    rows = [
        {"series": name, "rows": its.rows, "verdict": its.words, "odd": len(its.oddities)}
        for name, its in found.verdicts.items()
    ]

    def show(out: "Console") -> None:
        for oddity in found.oddities:
            out.print(str(oddity), markup=False, highlight=False, soft_wrap=True)
        for life in found.lives.values():
            ended = ", delisted" if life.delisted else ""
            out.print(
                f"{life.symbol}: trades from {life.first:%Y-%m-%d %H:%M} to {life.last:%Y-%m-%d %H:%M}{ended}",
                highlight=False,
            )
        _show_facts(out, facts)
        table(out, f"{folder}: {len(found.oddities)} oddities; usable with {refill} bars of past", rows)
        if report is not None:
            out.print(f"report   {report}", highlight=False, soft_wrap=True)

    answer = {**found.document, "facts": facts_told(facts), "report": report and str(report)}
    respond(answer, as_json, show)
    if not found.ok:
        raise typer.Exit(2)


def _check_settings(params: Path | None, p: list[str] | None, page: Path | None, as_json: bool) -> None:
    from qtlib.report.words import speaking
    from qtlib.runs import wiring
    from qtlib.runs.data.bars import facts_of, facts_told, write_facts

    settings = settings_of(params or SETTINGS, p).params
    market = wiring.market(settings)
    report = market.report()
    facts = {market.timeframe: rows} if (rows := facts_of(market, market.timeframe)) else {}
    if page is not None:
        with speaking(settings.report.language):
            write_facts(market, facts, page)
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
        "facts": facts_told(facts),
        "report": page and str(page),
    }

    def show(out: "Console") -> None:
        out.print(str(report), markup=False, highlight=False, soft_wrap=True)
        _show_facts(out, facts)
        if page is not None:
            out.print(f"report   {page}", highlight=False, soft_wrap=True)

    respond(answer, as_json, show)


def _show_facts(out: "Console", facts: "Mapping[str, Sequence[Row]]") -> None:
    names = ("fact", "real", "real, nearly all", "here", "")
    for timeframe, rows in facts.items():
        table(
            out,
            f"bars of {timeframe}: real ones, and these",
            [dict(zip(names, row.cells, strict=True)) for row in rows],
        )


@data.command("fit", epilog="Example: qt data fit bars/ --to fitted/")
def data_fit(
    folder: Annotated[Path, typer.Argument(help="Real bars of 1h, 15m and 5m, of the symbols we simulate.")],
    begins: Annotated[str, typer.Option("--from", metavar="UTC", help="The first open.")] = "2022-01-01",
    to: Annotated[Path | None, typer.Option(help="The folder to write likeness.json and facts.json to.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find the numbers that the simulated market is made from anew, in real bars; minutes of work."""
    from qtlib.runs.data.fitted import fit_to

    with progress() as tell:
        answer = fit_to(folder, begins, to, tell)

    def show(out: "Console") -> None:
        rows = [{"number": name, "in use": used, "found": new} for name, used, new in answer["differing"]]
        table(out, f"found in {answer['found_in']}", rows)
        for file in answer["files"]:
            out.print(f"written  {file}", highlight=False, soft_wrap=True)

    respond(answer, as_json, show)


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
    from qtlib.runs.record.folder import runs_root

    settings = settings_of(params or SETTINGS, p).params
    if settings.data.source != "simulated":
        raise SettingsError(f"data.source is {settings.data.source}; only a simulated market can be made")
    where = to or runs_root() / "market"
    market = wiring.market(settings)
    files = [path.name for path in Store(where).write(market)]
    answer = {"folder": str(where), "source": market.source, "simulated": True, "files": files}
    respond(answer, as_json, lambda out: out.print(f"{market.source}: {len(files)} files in {where}", highlight=False))
