"""What the venue said its instruments are, on the day it was asked; and how to say it for the ones not asked about.

A simulated venue needs filters, fees and margin brackets. For ten symbols they come from recorded replies, with their
date (`facts-2026-09.json`); for any other they come from the settings, in full. Nothing is ever guessed.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qtlib.domain.market import Instrument, MarginBracket

RECORDED = Path(__file__).with_name("facts-2026-09.json")

_REQUIRED = ("tick", "lot", "min_notional")
_SETTABLE = tuple(f.name for f in fields(Instrument) if f.name != "symbol")


@cache
def facts() -> Mapping[str, Instrument]:
    """The recorded instruments, by symbol."""
    document = recorded()
    common = {name: value for name, value in document["common"].items() if name in _SETTABLE}
    return MappingProxyType(
        {
            symbol: _instrument(symbol, common | {n: v for n, v in said.items() if n in _SETTABLE})
            for symbol, said in document["symbols"].items()
        }
    )


def recorded() -> dict[str, Any]:
    """The whole recorded document, with its dates and source, and with what an `Instrument` has no use for."""
    document: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return document


def instruments(symbols: Iterable[str], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Instrument]:
    """The instruments of `symbols`: as recorded, with what `settings` change; unlisted ones from settings alone.

    >>> instruments(["PEPEUSDT"], {"PEPEUSDT": {"tick": 0.0000001, "lot": 100, "min_notional": 5}})["PEPEUSDT"].tick
    Decimal('1E-7')
    """
    return {symbol: _one(symbol, settings.get(symbol, {})) for symbol in symbols}


def _one(symbol: str, said: Mapping[str, Any]) -> Instrument:
    for name in said:
        if name not in _SETTABLE:
            raise ValueError(f"{symbol}: unknown fact {name!r}{_meant(name, _SETTABLE)}")
    known = facts().get(symbol)
    if known is None and (missing := [name for name in _REQUIRED if name not in said]):
        raise ValueError(
            f"{symbol} is not among the recorded symbols ({', '.join(facts())}){_meant(symbol, facts())}, and its"
            f" settings lack {', '.join(missing)}; write them out under venue.symbols, as in"
            f" -p 'venue.symbols={{{symbol}: {{tick: 0.0001, lot: 1, min_notional: 5}}}}'"
        )
    if known and not said:
        return known
    base = {f: getattr(known, f) for f in _SETTABLE} if known else {}
    return _instrument(symbol, base | dict(said))


def _instrument(symbol: str, said: Mapping[str, Any]) -> Instrument:
    """An instrument of plain values: numbers may be written as text, brackets as rows."""
    values: dict[str, Any] = {}
    for name, value in said.items():
        if name == "brackets":
            values[name] = _brackets(symbol, value)
        else:
            values[name] = int(value) if name == "funding_interval_h" else _decimal(symbol, name, value)
    for name in ("tick", "lot"):
        if values[name] <= 0:
            raise ValueError(f"{symbol}: {name} {values[name]} must be above 0")
    return Instrument(symbol, **values)


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, cutoff=0.75)
    return f" (did you mean {near[0]}?)" if near else ""


def _brackets(symbol: str, rows: Iterable[Any]) -> tuple[MarginBracket, ...]:
    """Rows of (notional cap, maintenance fraction, largest leverage[, cum]); `cum` follows from the rows before."""
    brackets: list[MarginBracket] = []
    for row in rows:
        if isinstance(row, MarginBracket):
            row = (row.notional_cap, row.maintenance_frac, row.max_leverage, row.cum)  # noqa: PLW2901  # one shape below
        cap, frac = _decimal(symbol, "notional_cap", row[0]), _decimal(symbol, "maintenance_frac", row[1])
        below = brackets[-1] if brackets else MarginBracket(Decimal(0), frac, 0, Decimal(0))
        cum = below.cum + below.notional_cap * (frac - below.maintenance_frac)
        if cap <= below.notional_cap or frac < below.maintenance_frac:
            raise ValueError(f"{symbol}: bracket up to {cap} must ask no less than the one up to {below.notional_cap}")
        if len(row) > 3 and _decimal(symbol, "cum", row[3]) != cum:
            raise ValueError(f"{symbol}: bracket up to {cap} has cum {row[3]}, its neighbours make it {cum}")
        brackets.append(MarginBracket(cap, frac, int(row[2]), cum))
    if not brackets:
        raise ValueError(f"{symbol}: brackets must have at least one row")
    return tuple(brackets)


def _decimal(symbol: str, name: str, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))  # of a float: the shortest decimal that means it
    except InvalidOperation:
        raise ValueError(f"{symbol}: {name} {value!r} must be a number") from None
    if not number.is_finite() or number < 0:
        raise ValueError(f"{symbol}: {name} {value!r} must be a finite number, at least 0")
    return number
