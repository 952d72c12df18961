"""The settings of a command, and the market they mean, in words."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtlib.params import Resolved


def settings_of(file: Path, overrides: list[str] | None) -> "Resolved":
    """The settings, from a file named as from here, or as from the project's folder."""
    from qtlib.params import resolve
    from qtlib.runs.record.folder import HOME

    own = file if file.exists() or file.is_absolute() or not (HOME / file).exists() else HOME / file
    return resolve(own, overrides or [], os.environ)


def market_words(resolved: "Resolved") -> str:
    given, mode = resolved.params.data, resolved.params.mode
    if mode in ("paper", "demo"):
        market = "real public prices, simulated venue" if mode == "paper" else "the venue's demo market"
        return f"{market}: no real money"
    if given.source == "simulated":
        happens = "".join(f", {regime.kind} on day {regime.day:g}" for regime in given.regimes)
        return f"SIMULATED market (seed {given.seed}{happens}), simulated venue: no real prices, no real money"
    return f"bars from {given.path}, simulated venue: no real money"
