"""The simulated market's numbers, found anew in bars of this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtlib.market.fitting import fit
from qtlib.market.simulated import LIKENESS
from qtlib.market.timeframes import micros_at
from qtlib.params import SettingsError
from qtlib.runs.record.atomic import write_json


def fit_to(folder: Path, start: str, to: Path | None, tell: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Find the simulated market's numbers anew; what differs from those in use. Files are written where `to` is given.

    The numbers in use are the two files of these names in `qtlib/market/simulated`.
    """
    try:
        micros_at(start)
    except ValueError as why:
        raise SettingsError(f"--from {start!r} must be a date or time as in 2022-01-01: {why}") from why
    found = fit(folder, start, tell)
    new, used = found.likeness.document(), LIKENESS.document()
    documents = {"likeness.json": new, "facts.json": found.facts_document()}
    files = []
    for name, document in documents.items() if to is not None else ():
        assert to is not None
        to.mkdir(parents=True, exist_ok=True)
        write_json(to / name, document)
        files.append(str(to / name))
    differing = [[name, str(used[name]), str(new[name])] for name in new if new[name] != used[name]]
    return {"found_in": found.likeness.found_in, "differing": differing, "files": files}
