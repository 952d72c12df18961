"""Everything that can be checked before anything is at stake. A check finds something or refuses; it mends nothing.

To add a check: write the function, from settings and the runs folder to words; raise to refuse; add it to `CHECKS`.
"""

import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from subprocess import DEVNULL

from jupyter_client.manager import start_new_kernel

from qtlib.engine.feeds import Strategy, panel_of
from qtlib.journal import Journal
from qtlib.learning.features import Feature
from qtlib.learning.leaks import lint
from qtlib.market.simulated import SimulatedMarket, simulate
from qtlib.params import Params
from qtlib.runs import wiring
from qtlib.runs.believing.subjects import feature_set
from qtlib.runs.record.folder import journal_location

LINTED = 200  # closes beyond two lookbacks at which features are looked at
LEAST_FREE_BYTES = 500_000_000  # a session's run folder, journal and the venue's disk, many times over
_NAMED = ("jupyterlab", "papermill", "ccxt", "pandas", "scikit-learn", "plotly", "ipywidgets")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `ok` is false where trading must not begin."""

    check: str
    ok: bool
    words: str


def examine(params: Params, root: Path) -> list[Finding]:
    """Every check, in order; one that breaks is a refusal with its own words."""
    findings = []
    for name, check in CHECKS.items():
        try:
            findings.append(Finding(name, True, check(params, root)))
        except Exception as e:
            words = next((line for line in str(e).splitlines() if line.strip()), type(e).__name__)
            findings.append(Finding(name, False, words))
    return findings


def _python(params: Params, root: Path) -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _packages(params: Params, root: Path) -> str:
    missing = []
    for line in distribution("qtlib").requires or []:
        name = line.split(";")[0].split("[")[0].split("<")[0].split(">")[0].split("=")[0].split("!")[0].strip()
        try:
            version(name)
        except PackageNotFoundError:
            if "extra ==" not in line:
                missing.append(name)
    if missing:
        raise RuntimeError(f"not installed: {', '.join(missing)}; run `make test` or install requirements.lock")
    return ", ".join(f"{name} {version(name)}" for name in _NAMED)


def _runs_folder(params: Params, root: Path) -> str:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root) as f:
        f.write(b"can be written")
    return f"{root} can be written"


def _disk(params: Params, root: Path) -> str:
    free = shutil.disk_usage(root).free
    if free < LEAST_FREE_BYTES:
        raise RuntimeError(f"{free / 1e6:,.0f} MB free under {root}, {LEAST_FREE_BYTES / 1e6:,.0f} MB are needed")
    return f"{free / 1e9:,.1f} GB free"


def _journal(params: Params, root: Path) -> str:
    where = journal_location(params.session.account, root)
    if isinstance(where, Path) and not where.exists():
        return f"none yet for account {params.session.account}: the first session makes it"
    with Journal(where, params.session.account) as journal:
        state = journal.state()
    return f"account {params.session.account}: {len(state.account.positions)} positions, {state.status.value}"


def _strategy(params: Params, root: Path) -> str:
    made = wiring.strategy(params)
    return f"{params.strategy.name} loads, and looks back {made.lookback} bars"


def _features(params: Params, root: Path) -> str:
    """The future is taken away from what a model would be shown, and from the strategy: neither may notice."""
    if params.strategy.name == wiring.LEARNED:
        looked_at: list[Feature | Strategy] = [*feature_set(params).features]
    else:
        looked_at = [wiring.strategy(params, root)]
    bars = 2 * wiring.lookback(params) + LINTED
    found = lint(looked_at, panel_of(simulate(SimulatedMarket(symbols=("BTCUSDT", "ETHUSDT")), bars=bars)))
    if not found.ok:
        raise RuntimeError(str(found))
    return f"{len(looked_at)} looked at, and none reads the future or more of the past than it says"


def _champion(params: Params, root: Path) -> str:
    """Who would believe, compared and tried."""
    if params.strategy.name != wiring.LEARNED:
        return f"none is needed: {params.strategy.name} is a rule of thumb"
    return str(getattr(wiring.strategy(params, root), "believer", "a model of its own"))


def _venue(params: Params, root: Path) -> str:
    listed = wiring.instruments(params)
    most = next(iter(listed.values()))
    return (
        f"facts of {', '.join(listed)}; {most.symbol}: tick {most.tick}, lot {most.lot}, at least {most.min_notional}"
    )


def _data(params: Params, root: Path) -> str:
    market = wiring.market(params)
    notes = f"; {len(market.notes)} notes, see `qt data check`" if market.notes else ""
    return f"{market.source}: {len(market.symbols)} symbols, {market.first:%Y-%m-%d} to {market.last:%Y-%m-%d}{notes}"


def _kernel(params: Params, root: Path) -> str:
    manager, client = start_new_kernel(startup_timeout=60, stdout=DEVNULL, stderr=DEVNULL)
    try:
        reply = client.execute_interactive("1 + 1", timeout=60, store_history=False, output_hook=lambda message: None)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("a kernel started and could not add one and one")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return "a notebook kernel starts and answers"


Check = Callable[[Params, Path], str]
CHECKS: dict[str, Check] = {
    "python": _python,
    "packages": _packages,
    "runs folder": _runs_folder,
    "disk": _disk,
    "journal": _journal,
    "strategy": _strategy,
    "features": _features,
    "champion": _champion,
    "venue": _venue,
    "data": _data,
    "kernel": _kernel,
}
