"""`qt exchange`: the simulated venue as a process of its own."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtlib.cli.app import AsJson, Debug, Overrides, ParamsFile, app
from qtlib.cli.settings import market_words, settings_of

if TYPE_CHECKING:
    from qtlib.exchanges.simulated.served import Desk


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
    from qtlib.runs.session.exchange import PAST_BARS, faults_of, following, instant, keep_open, opened, speed_of

    given = {"data.path": data, "data.timeframe": timeframe, "venue.balance": balance}
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    words += ["data.source=files", "data.bars=null"] if data else []
    settings = settings_of(params or Path("params/sim.yaml"), [*(p or []), *words])
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
            await keep_open(doors, port, partial(ready, desk, market_words(settings)), until_pid)
            return
        long_past = max(past, PAST_BARS)  # where nothing is made up, clients learn of the past from here only
        async with following(settings.params, followed, state, long_past) as (desk, upstream):
            market = (
                f"the market of {upstream.standing['url']}, our own engine (fees, brackets as recorded): no real money"
            ) + "".join(f"; {symbol} is {status}, not TRADING" for symbol, status in upstream.halted.items())
            doors = open_doors(desk, iter(()), upstream=upstream)
            await keep_open(doors, port, partial(ready, desk, market), until_pid)

    asyncio.run(serve())
