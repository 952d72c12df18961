"""Bringing files in: every one is read and checked before any is stored, and they are held against what is there.

One that is damaged means that nothing is stored. Sources that disagree, with what is held or with each other, are told
bar by bar, and not merged unless it is said which of them holds; other series come in nevertheless.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qtlib.market.foreign.archive import is_archive, read_archive
from qtlib.market.foreign.freqtrade import is_freqtrade, read_freqtrade
from qtlib.market.foreign.offer import Damaged, Offer
from qtlib.market.foreign.tables import Hints, read_table
from qtlib.market.market import BadData
from qtlib.market.merging import Difference, Differing, Disagree, merge
from qtlib.market.names import FUNDING, Name
from qtlib.market.quality import JUMP
from qtlib.market.series import Period, Rows, Series
from qtlib.market.store import Store
from qtlib.market.timeframes import HOUR, MINUTE, datetime_at

_NONE = Hints()
_ROWS_KEPT = 5_000_000  # in memory, between looking at files and storing them; others are read twice
_SHOWN = 20  # refusals that are told
_SHIFTS = [quarter * 15 * MINUTE for quarter in range(-14 * 4, 14 * 4 + 1) if quarter]
_SAME_FRAC = 0.9  # of the rows in common: more than chance
_SEAM = 24 * HOUR  # closer together than this, two prices are about the same


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of the files of one series."""

    name: Name
    files: int
    new: int  # rows
    known: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    refused: str = ""  # why nothing of it was stored: sources disagree


def recognised(paths: Iterable[Path]) -> list[Path]:
    """The files among `paths`, and below those that are folders, that can be read; BadData where there are none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += [file for file in sorted(path.rglob("*")) if _is_known(file, path)]
        elif not path.exists():
            raise BadData(f"there is no {path}")
        else:
            found.append(path)
    if not found:
        raise BadData(
            "nothing to import there: zips of the archive, freqtrade's feather and json, CSV and parquet can be read"
        )
    return found


def read_file(file: Path, hints: Hints = _NONE) -> Offer:
    """What one file offers; Damaged, with its name, the row and the reason."""
    try:
        if is_archive(file):
            return read_archive(file, hints.venue, hints.kind)
        if is_freqtrade(file):
            return read_freqtrade(file, hints.venue)
        if file.suffix in (".csv", ".parquet"):
            return read_table(file, hints)
        raise Damaged("it is neither a zip of the archive, nor freqtrade's, nor CSV, nor parquet")
    except Damaged as why:
        raise Damaged(f"{file.name}: {why}") from why


def bring(
    files: Sequence[Path],
    store_of: Callable[[str], Store],
    hints: Hints = _NONE,
    differing: Differing = Differing.REFUSE,
    tell: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Brought]:
    """Store what `files` offer: each in the store that `store_of` names for its venue. `tell` hears how far it is."""
    names: dict[tuple[str, Name], list[Path]] = {}
    kept: dict[Path, Offer] = {}
    room, refused = _ROWS_KEPT, []
    for number, file in enumerate(files):
        tell(number, 2 * len(files), file.name)
        try:
            offer = read_file(file, hints)
        except Damaged as why:
            refused.append(str(why))
            continue
        names.setdefault((offer.label.venue, offer.name), []).append(file)
        if (room := room - len(offer.rows)) >= 0:
            kept[file] = offer
    if refused:
        more = f"\nand {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise Damaged("\n".join(refused[:_SHOWN]) + f"{more}\nNothing was stored.")
    brought, done = [], len(files)
    for (venue, name), its in sorted(names.items()):
        tell(done, 2 * len(files), str(name))
        brought.append(
            _stored(
                store_of(venue),
                name,
                [kept.pop(file) if file in kept else read_file(file, hints) for file in its],
                differing,
            )
        )
        done += len(its)
    return brought


# --- below ------------------------------------------------------------------------------------------------


def _is_known(file: Path, folder: Path) -> bool:
    """Tables are taken from the folder itself only: of what lies below, their names do not say the market."""
    if file.name.startswith(".") or not file.is_file():
        return False
    table = file.parent == folder and file.suffix in (".csv", ".parquet") and Name.of(file.stem) is not None
    return table or is_archive(file) or is_freqtrade(file)


def _stored(store: Store, name: Name, offers: Sequence[Offer], differing: Differing) -> Brought:
    notes = tuple(dict.fromkeys(note for offer in offers for note in offer.notes))
    try:
        together, label = offers[0].rows, offers[0].label
        among: tuple[Difference, ...] = ()
        for offer in sorted(offers[1:], key=lambda offer: int(offer.rows.times[0])):
            together, found = merge(str(name), together, offer.rows, differing)
            if found and differing is Differing.REFUSE:
                raise Disagree(found, label.source, f"{offer.file.name}")
            among, label = (*among, *found), label.joined(offer.label)
        if differing is Differing.REFUSE:
            _held_against(store, name, together)
        added = store.add(name, together, label, differing=differing)
    except Disagree as why:
        return Brought(name, len(offers), 0, 0, why.differences, notes, str(why))
    return Brought(name, len(offers), added.new, added.known, (*among, *added.differences), notes)


def _held_against(store: Store, name: Name, rows: Rows) -> None:
    """Damaged where `rows` are another symbol's, or of another clock, than those that are held."""
    series = Series(store.folder, str(name))
    if name.kind == FUNDING or not series.exists():
        return
    first, last = int(rows.times[0]), int(rows.times[-1])
    held, _ = series.load(("close",), Period(first - 15 * HOUR, last + 15 * HOUR))
    if len(held) < 2:
        return
    if _same_frac(held, rows, 0) < _SAME_FRAC:
        shift = max(_SHIFTS, key=lambda by: _same_frac(held, rows, by))
        if _same_frac(held, rows, shift) >= _SAME_FRAC:
            raise Damaged(
                f"{name}: the rows offered are those held if they are moved by {shift // MINUTE} minutes (row 1, "
                f"{datetime_at(first):%Y-%m-%d %H:%M}): local time, and not UTC? Nothing of it was stored"
            )
    before = held.where(held.times < first)
    if len(before) and first - int(before.times[-1]) <= _SEAM:
        held_close, close = float(before.values["close"][-1]), float(rows.values["close"][0])
        if not 1 / JUMP < close / held_close < JUMP:
            raise Damaged(
                f"{name}: row 1 closes at {close:g}, and the last bar held before it at {held_close:g}: another "
                "symbol? Nothing of it was stored; if it is right, say so with --differing keep"
            )


def _same_frac(held: Rows, rows: Rows, shift: int) -> float:
    """Of the rows in common once `rows` are moved by `shift`, how many close alike; 0 where too few are."""
    _, ours, theirs = np.intersect1d(held.times, rows.times + shift, assume_unique=True, return_indices=True)
    if len(ours) < 5:
        return 1.0 if shift == 0 else 0.0
    return float(np.mean(held.values["close"][ours] == rows.values["close"][theirs]))
