"""The store: a folder of bars that this program writes. A series grows by months, is written whole or not at all, and
nothing that is there is lost or silently changed.

A folder holds series by name (`names.py`), each as a folder of months (`series.py`), and beside each what is known of
it (`catalogue.py`). Somebody's own files in it are read and listed, and never written.
"""

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from qtlib import durable
from qtlib.market import catalogue
from qtlib.market.catalogue import Entry, Span
from qtlib.market.market import BadData, Market
from qtlib.market.merging import Difference, Differing, Disagree, merge
from qtlib.market.names import BARS, FUNDING, MARKS, Name
from qtlib.market.series import Label, Rows, Series, months, names_in
from qtlib.market.timeframes import datetime_at, micros_in, micros_of
from qtlib.market.writing import Staged, alone, ascending, by_month, gone, staging, sweep


@dataclass(frozen=True, slots=True)
class Added:
    """What became of rows that were offered to a series."""

    new: int  # rows that were not there
    known: int  # rows that were there already
    differences: tuple[Difference, ...]  # where the two disagreed
    files: tuple[Path, ...]  # the parts that changed


@dataclass(frozen=True, repr=False)
class Store:
    """A folder of bars that this program may write to; `read` reads it."""

    folder: Path

    def write(self, market: Market) -> tuple[Path, ...]:
        """`market` on disk: each series is replaced whole, or stays as it was. The parts written."""
        label = Label((market.source,), market.simulated)
        with alone(self.folder), staging() as staged:
            everything = {name: rows for one in _with_finer(market) for name, rows in _series_of(one).items()}
            left_over: list[Path] = []
            for name, rows in everything.items():
                series = self._ours(name)
                _may_replace(series, rows, label)
                parts = dict(by_month(ascending(rows, name)))
                left_over += [part for part in months(series.parts) if part.name not in parts]
                for file, its in parts.items():
                    staged.part(series.parts / file, its, label)
            written = staged.publish()
            gone(left_over)
            for name in everything:
                series = Series(self.folder, name)
                series.entry.unlink(missing_ok=True)
                _enter(series, catalogue.entry(series))
        return tuple(written)

    def add(
        self,
        name: Name,
        rows: Rows,
        label: Label,
        *,
        differing: Differing = Differing.REFUSE,
        asked: Span | None = None,
    ) -> Added:
        """`rows` beside those that are there: only the months they lie in are written anew, and nothing is lost.

        Rows that disagree with those held raise `Disagree`, unless `differing` says which holds. `asked` is the span
        for which the source gave everything it has.
        """
        with alone(self.folder):
            series = self._ours(str(name))
            ascending(rows, str(name))
            _same_kind(series, label)
            with staging() as staged:
                added = _merged(series, name, rows, label, differing, staged)
                touched = [file for file, _ in by_month(rows)]
                written = staged.publish()
            if rows.times.size or asked:
                _enter(series, catalogue.entry(series, anew=touched).with_asked(asked))
            return Added(added.new, added.known, added.differences, tuple(written))

    def entry(self, name: Name) -> Entry:
        """What the catalogue knows of a series; an empty one where there is none."""
        return catalogue.entry(Series(self.folder, str(name)))

    def damaged(self) -> dict[str, str]:
        """Parts that are not what was written, by their path in the folder: read whole, every byte."""
        return {
            f"{name}/{part}": words
            for name in names_in(self.folder)
            for part, words in catalogue.damaged(Series(self.folder, name)).items()
        }

    def list(self) -> pd.DataFrame:
        """What is there, a row for each series; one that can't be read says so under problem."""
        columns = ["symbol", "timeframe", "kind", "first", "last", "rows", "gaps", "simulated", "source", "problem"]
        rows = [_listed(Series(self.folder, name)) for name in names_in(self.folder)] if self.folder.is_dir() else []
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        there = self.list()
        return f"<Store {self.folder}: {len(there)} series of {there['symbol'].nunique()} symbols>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self.folder))}</p>" + self.list().to_html(index=False, na_rep="")

    def _ours(self, name: str) -> Series:
        """The series, if it is one that this program may write."""
        series = Series(self.folder, name)
        if series.file.exists():
            raise BadData(
                f"{series.file.name} in {self.folder} is a file of your own, and stays as it is: "
                "`qt data import` it into another folder to let it grow there"
            )
        sweep(series)
        return series


# --- below ------------------------------------------------------------------------------------------------


def _with_finer(market: Market) -> list[Market]:
    return [market] if market.finer is None else [market, *_with_finer(market.finer)]


def _series_of(market: Market) -> dict[str, Rows]:
    """Each series of `market`, as it is stored: bars by their open."""
    span = micros_of(market.timeframe)
    series = {Name(s, market.timeframe): (frame, span) for s, frame in market.bars.items()}
    series |= {Name(s, market.timeframe, MARKS): (frame, span) for s, frame in market.marks.items()}
    series |= {Name(s, "", FUNDING): (rates.to_frame(), 0) for s, rates in market.funding.items()}
    return {
        str(name): Rows(
            micros_in(frame.index) - back, {str(c): np.asarray(frame[c].to_numpy(), np.float64) for c in frame.columns}
        )
        for name, (frame, back) in series.items()
    }


def _merged(series: Series, name: Name, rows: Rows, label: Label, differing: Differing, staged: Staged) -> Added:
    """Stage every month of `series` that `rows` change."""
    new = 0
    differences: list[Difference] = []
    held_label = Label()
    for file, offered in by_month(rows):
        there = series.parts / file
        if not there.exists():
            staged.part(there, offered, label)
            new += len(offered)
            continue
        held, held_label = Series(series.parts, there.stem).load(name.columns)
        together, found = merge(series.name, held, offered, differing)
        differences += found
        new += len(together) - len(held)
        if not together.same(held):
            staged.part(there, together, held_label.joined(label))
    if differences and differing is Differing.REFUSE:
        raise Disagree(differences, held_label.source, label.source)
    return Added(new, len(rows) - new, tuple(differences), ())


def _may_replace(series: Series, rows: Rows, label: Label) -> None:
    """Real bars are replaced by real ones that cover as much, or not at all."""
    if not series.exists():
        return
    _same_kind(series, label)
    held, _ = series.load(()) if not label.simulated else (Rows(rows.times[:0], {}), None)
    old, new = held.times, rows.times
    if len(old) and not (len(new) and new.min() <= old.min() and old.max() <= new.max()):
        raise BadData(
            f"{series.name} holds times from {datetime_at(old.min())} to {datetime_at(old.max())}, which what would "
            "replace it does not cover; add to it, or use another folder"
        )


def _same_kind(series: Series, label: Label) -> None:
    """Simulated and real bars, and those of two venues, are kept apart."""
    parts = months(series.parts)
    if not parts:
        return
    held = Label.in_file(parts[-1])
    if held.simulated != label.simulated:
        there, coming = ("real", "simulated") if label.simulated else ("simulated", "real")
        raise BadData(f"{series.name} holds {there} bars and would be replaced by {coming} ones; use another folder")
    if held.venue and label.venue and held.venue != label.venue:
        raise BadData(
            f"{series.name} in {series.folder} is of {held.venue}, and what is offered of {label.venue}: prices of "
            "two venues are two things; use a folder for each"
        )


def _enter(series: Series, entry: Entry) -> None:
    durable.write(series.entry, (json.dumps(entry.document, indent=1, ensure_ascii=False) + "\n").encode())


def _listed(series: Series) -> dict[str, object]:
    symbol, _, rest = series.name.partition("-")
    its = Name.of(series.name)
    row: dict[str, object] = {"symbol": symbol, "timeframe": rest, "kind": BARS, "problem": ""}
    if its is None:
        return row | {"problem": f"{series.name} is no name of a series, as SYMBOL-1h, SYMBOL-1h-mark, SYMBOL-funding"}
    row |= {"timeframe": its.timeframe, "kind": its.kind}
    try:
        if series.file.exists():
            rows, label = series.load(())
            count, gaps = len(rows), len(catalogue.gaps_in(rows.times, its.span))
            ends = (rows.times.min(), rows.times.max()) if count else None
        else:
            known = catalogue.entry(series)
            label, count, gaps = known.label, known.rows, len(known.gaps)
            ends = (known.first, known.last) if count else None
        row |= {"rows": count, "gaps": gaps, "simulated": label.simulated, "source": label.source}
        row |= {"first": datetime_at(ends[0]), "last": datetime_at(ends[1])} if ends else {}
    except (BadData, ValueError, OSError) as error:
        row["problem"] = str(error)
    return row
