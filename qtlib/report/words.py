"""Words, numbers and times in the reader's language: English, or Norwegian Bokmål by its message catalogue.

What is to be read goes through `say`; the English sentence in the code is the message's name, and
`locale/<language>/LC_MESSAGES/qtlib.po` has its translation. Journals, logs, file names and JSON are English and ISO,
whatever is spoken: they are for programs, and for whoever helps. One language is spoken at a time in a process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from io import BytesIO
from math import isnan
from typing import Any

from babel import Locale
from babel.dates import format_date, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol, get_group_symbol
from babel.support import Translations

ENGLISH = "en"
LANGUAGES = (ENGLISH, "nb")
UNKNOWN = "–"
MINUS = "−"

_spoken = [ENGLISH]


def speak(language: str) -> None:
    """From now on `say` and the numbers are of `language`."""
    if language not in LANGUAGES:
        raise ValueError(f"report.language {language!r} must be one of {', '.join(LANGUAGES)}")
    _spoken[0] = language


def spoken() -> str:
    """The language that is spoken now, as HTML names it."""
    return _spoken[0]


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak `language` meanwhile."""
    before = spoken()
    speak(language)
    try:
        yield
    finally:
        speak(before)


def say(message: str, **values: object) -> str:
    """`message` in the language that is spoken, with `values` in its places.

    >>> say("{count} of {most}", count=3, most=4)
    '3 of 4'
    """
    said = message if spoken() == ENGLISH or not message else catalogue(spoken()).gettext(message)
    return said.format(**values) if values else said


@cache
def catalogue(language: str) -> Any:
    """The messages of `language`, compiled from its catalogue when they are first asked for."""
    source = files("qtlib.report").joinpath("locale", language, "LC_MESSAGES", "qtlib.po")
    compiled = BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)


def number(value: float | None, form: str = ",.2f", unit: str = "") -> str:
    """`value` in Python's `form`, with the language's separators and a real minus; nothing has no sign.

    >>> number(-1234.5, "+,.2f"), number(-0.001, "+,.2f"), number(None), number(0.5, ".1f", " R")
    ('−1,234.50', '0.00', '–', '0.5 R')
    >>> with speaking("nb"):
    ...     number(-1234.5, ",.2f")
    '−1\\xa0234,50'
    """
    if value is None or isnan(value):
        return UNKNOWN
    text = f"{value:{form}}"
    if not any(digit in "123456789" for digit in text):
        text = text.lstrip("+-")
    return localized(text) + unit


def localized(text: str) -> str:
    """A number as Python writes it, with the language's separators and a real minus."""
    group, decimal = separators(spoken())
    return text.replace("-", MINUS).translate({ord(","): group, ord("."): decimal})


@cache
def separators(language: str) -> tuple[str, str]:
    """What stands between thousands, and before decimals."""
    return str(get_group_symbol(language)), str(get_decimal_symbol(language))


def signed(value: float | None) -> str:
    return number(value, "+,.2f")


def percent(fraction: float | None, form: str = ".2f", *, sign: bool = False) -> str:
    """
    >>> percent(0.0312, sign=True)
    '+3.12\\xa0%'
    """
    return number(None if fraction is None else 100 * fraction, f"+{form}" if sign else form, "\u00a0%")


def price(value: float | None) -> str:
    """As many decimals as a price of that size is quoted with."""
    if value is None or isnan(value):
        return UNKNOWN
    return number(value, ",.2f" if abs(value) >= 1_000 else ",.4f" if abs(value) >= 1 else ".6g")


def day(ts: datetime) -> str:
    """The day of `ts`, UTC.

    >>> ts = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    >>> day(ts), moment(ts)
    ('2026-03-01', '2026-03-01 12:30')
    >>> with speaking("nb"):
    ...     day(ts), moment(ts)
    ('01.03.2026', '01.03.2026 12:30')
    """
    ts = ts.astimezone(UTC)
    return f"{ts:%Y-%m-%d}" if spoken() == ENGLISH else str(format_date(ts, "dd.MM.yyyy", locale=spoken()))


def clock(ts: datetime, seconds: bool = False) -> str:
    """The time of day of `ts`, UTC."""
    form = "HH:mm:ss" if seconds else "HH:mm"
    return str(format_time(ts.astimezone(UTC), form, tzinfo=UTC, locale=spoken()))


def moment(ts: datetime) -> str:
    return f"{day(ts)} {clock(ts)}"


def short_moment(ts: datetime) -> str:
    """`ts` without its year.

    >>> short_moment(datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
    '03-01 12:30'
    """
    ts = ts.astimezone(UTC)
    return f"{f'{ts:%m-%d}' if spoken() == ENGLISH else format_date(ts, 'dd.MM.', locale=spoken())} {clock(ts)}"


def age(seconds: float | None) -> str:
    """How long ago, in the one unit that tells it best.

    >>> age(0.44), age(42.0), age(600.0), age(90_000.0), age(None)
    ('0.4 s', '42 s', '10 min', '25 h', '–')
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return number(max(seconds, 0.0), ".1f", " s") if seconds >= 0.05 else number(0.0, ".1f", " s")
    for unit, length, most in (("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < most:
            return number(seconds / length, ",.0f", f" {unit}")
    return number(seconds / 86_400, ",.0f", f" {say('days')}")


def months_and_days(language: str) -> dict[str, list[str]]:
    """The calendar's names, as charts write them."""
    locale = Locale.parse(language)
    months, days = locale.months["format"], locale.days["format"]
    return {
        "months": [months["wide"][i] for i in range(1, 13)],
        "shortMonths": [months["abbreviated"][i].rstrip(".") for i in range(1, 13)],
        "days": [days["wide"][i % 7] for i in range(-1, 6)],
        "shortDays": [days["abbreviated"][i % 7].rstrip(".") for i in range(-1, 6)],
    }
