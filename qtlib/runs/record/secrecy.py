"""No secret is written down: what this machine's session must not say, and where words come in from elsewhere.

Files are cleaned as they are written (`atomic`). A journal is cleaned before: what it holds is what state is folded
from, so an event is without secrets before anybody hears of it.
"""

from typing import Any

from qtlib.domain.events import (
    CashMoved,
    CommandAnswered,
    Event,
    LimitsSet,
    OrderChanged,
    PositionAdopted,
    SessionClosed,
    StatusSet,
)
from qtlib.domain.learned import ModelChanged, RetrainBegun, RetrainEnded
from qtlib.domain.values import changed
from qtlib.runs.record.atomic import keep_secret, redact

_WORDS: dict[
    type[Any], str
] = {  # the field of each kind of event that holds words of the venue, of people or of errors
    StatusSet: "cause",
    SessionClosed: "reason",
    OrderChanged: "reason",
    CashMoved: "reason",
    LimitsSet: "reason",
    PositionAdopted: "evidence",
    CommandAnswered: "words",
    RetrainBegun: "cause",
    RetrainEnded: "words",
    ModelChanged: "cause",
}


def without_secrets(event: Event) -> Event:
    """`event` as it may be written down."""
    name = _WORDS.get(type(event))
    if name is None or not (words := getattr(event, name)):
        return event
    clean = redact(words)
    return event if clean == words else changed(event, **{name: clean})


def know_keys(mode: str) -> None:
    """From now on the keys of `mode` are secrets to this process, wherever they are kept."""
    if mode not in ("demo", "live"):
        return
    from qtlib.exchanges.binance import modes  # noqa: PLC0415  cold start: a client library, that sim has no use for here
    from qtlib.exchanges.port import Untrusted  # noqa: PLC0415  cold start, as above

    try:
        keys = modes.keys(modes.Mode(mode))
    except Untrusted:  # there are none: whoever needs them says so
        return
    keep_secret(keys.key, keys.secret)
