"""`qt data`: bars on disk."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

from pathlib import Path
from typing import Annotated

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, data
from qtlib.cli.saying import plain, respond, table
from qtlib.cli.settings import settings_of


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
    rows = [{str(k): plain(v) for k, v in row.items()} for row in there.to_dict("records")]
    brief = [{name: value for name, value in row.items() if name != "source"} for row in rows]
    respond({"folder": str(where), "files": rows}, as_json, lambda out: table(out, str(where), brief))


@data.command("check", epilog="Example: qt data check --params params/replay.yaml -p data.path=bars/")
def data_check(params: ParamsFile = None, p: Overrides = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Read the bars that these settings name, with every check; exit 2 if they may not be traded."""
    from qtlib.runs import wiring

    market = wiring.market(settings_of(params or Path("params/sim.yaml"), p).params)
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
    respond(answer, as_json, lambda out: out.print(str(report), markup=False, highlight=False, soft_wrap=True))


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

    settings = settings_of(params or Path("params/sim.yaml"), p).params
    if settings.data.source != "simulated":
        raise SettingsError(f"data.source is {settings.data.source}; only a simulated market can be made")
    where = to or runs_root() / "market"
    market = wiring.market(settings)
    files = [path.name for path in Store(where).write(market)]
    answer = {"folder": str(where), "source": market.source, "simulated": True, "files": files}
    respond(answer, as_json, lambda out: out.print(f"{market.source}: {len(files)} files in {where}", highlight=False))
