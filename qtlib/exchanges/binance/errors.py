"""What the venue's "no" means for whoever asked: one table, read by (HTTP status, code, text).

Never by a library's classes: those put "it may have happened" and "it did not" into one. The first row that fits
holds. Where a request would have changed something and the venue does not say whether it did, it is `Unknown`; of a
mere question the same words are `Unavailable`.
"""

from collections.abc import Callable
from typing import NamedTuple

from qtlib.exchanges.port import ExchangeError, Refused, Unavailable, Unknown, Untrusted

Meaning = Callable[[str, bool], ExchangeError]  # of the words, and whether the request would have changed something


class Astray(Unavailable):
    """Not executed, because our clock and the venue's disagree: set ours, and ask again."""


class Slowly(Unavailable):
    """Not executed, because too much was asked: nothing more for `pause_s`."""

    pause_s: float = 1.0


class Banned(Slowly):
    """Asked on regardless: all traffic ends for `pause_s`."""

    pause_s: float = 120.0


class Gone(Refused):
    """The venue knows no such order, or none that is open."""


class Row(NamedTuple):
    """`None` and an empty text fit everything."""

    status: int | None
    code: int | None
    text: str
    meaning: Meaning


def _open(said: str, changes: bool) -> ExchangeError:
    return Unknown(said) if changes else Unavailable(said)


def _as(kind: type[ExchangeError]) -> Meaning:
    return lambda said, changes: kind(said)


_failed, _no, _person = _as(Unavailable), _as(Refused), _as(Untrusted)

TABLE = (
    # limits
    Row(418, None, "", _as(Banned)),
    Row(429, None, "", _as(Slowly)),
    Row(None, -1003, "", _as(Slowly)),
    Row(None, -1015, "", _as(Slowly)),  # too many new orders
    # it may have happened
    Row(None, -1000, "", _open),
    Row(None, -1001, "", _open),
    Row(None, -1006, "", _open),
    Row(None, -1007, "", _open),
    Row(None, -4116, "", _open),  # the name is taken: an earlier attempt landed
    # it has not
    Row(None, -1008, "", _failed),
    Row(None, -1021, "", _as(Astray)),
    Row(None, -5028, "", _as(Astray)),
    # a person is needed: key, signature, account mode, restrictions
    Row(None, -1022, "", _person),
    Row(None, -1125, "", _no),  # a listen key that is gone: a new one is asked for
    Row(None, -2014, "", _person),
    Row(None, -2015, "", _person),
    Row(None, -2023, "", _person),
    Row(None, -4061, "", _person),
    Row(None, -4400, "", _person),
    Row(401, None, "", _person),
    Row(403, None, "", _person),
    # orders that are not there
    Row(None, -2011, "", _as(Gone)),
    Row(None, -2013, "", _as(Gone)),
    # gateways
    Row(408, None, "", _open),
    Row(503, None, "Service Unavailable", _failed),
    Row(503, None, "", _open),
    Row(502, None, "", _open),
    Row(504, None, "", _open),
    Row(500, None, "", _open),
)


NONSENSE = (KeyError, ValueError, TypeError, ArithmeticError)  # what reading a document that makes no sense raises


def nonsense(found: Exception) -> Untrusted:
    return Untrusted(f"the answer makes no sense: {type(found).__name__} {found}")


def judge(status: int, code: int | None, text: str, changes: bool) -> ExchangeError:
    """What an answer that is no success means; `changes` says whether the request would have changed something."""
    said = f"{code}: {text}" if code is not None else f"HTTP {status}: {text or 'no words'}"
    for row in TABLE:
        if row.status in (None, status) and row.code in (None, code) and row.text in text:
            return row.meaning(said, changes)
    if code is not None and code < 0:  # any other of the venue's own words: understood, and no
        return Refused(said)
    return _open(said, changes) if status < 400 or status >= 500 else Untrusted(said)
