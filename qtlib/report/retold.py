"""Sentences that a record, a journal or a survey has in English, told again in the reader's language.

What is written down is English, for programs and for whoever helps; whoever writes it knows nothing of reports. So the
forms of these sentences stand in `forms.py`: `tests/report/test_retold.py` lets their writers speak, and hears whether
anything stays English. What has no form is left as it is, but for its numbers and times.
"""

import re
from datetime import UTC, datetime
from functools import cache, lru_cache

from qtlib.report.forms import FORMS
from qtlib.report.words import ENGLISH, day, localized, moment, say, spoken

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")
_INSTANT = re.compile(r"\b(\d{4}-\d\d-\d\d)( \d\d:\d\d)?\b")
_NUMBER = re.compile(r"([+-]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)(%?)")
_KINDS = {  # what a blank of this name may hold; others hold anything up to the end of a clause
    **dict.fromkeys(("why", "cause", "rest"), ".+?"),
    **dict.fromkeys(("by", "version"), r"\S+?"),
    "count": r"[-+\d.,]+?( of [\d,]+)?",
    **dict.fromkeys(("since", "until", "instant"), r"[-+–−\d:.,% ]+?"),
}


def retold(text: str) -> str:
    """`text` in the language that is spoken, if its form is known: what stands in its blanks is told again, too.

    >>> from qtlib.report.words import speaking
    >>> with speaking("nb"):
    ...     retold("drawdown"), retold("at most 0.25 R"), retold("nobody ever said this")
    ('nedtrekk', 'høyst 0,25 R', 'nobody ever said this')
    """
    return text if spoken() == ENGLISH else _retold(text, spoken())


@lru_cache(maxsize=2048)  # the panel says the same every second
def _retold(text: str, language: str) -> str:
    for form, pattern in _patterns():
        if (found := pattern.fullmatch(text)) is not None:
            return say(form, **{name: retold(part) for name, part in found.groupdict().items()})
    if _STAMP.fullmatch(text):
        return moment(datetime.fromisoformat(text))
    number, _, unit = text.partition(" ")
    if (found := _NUMBER.fullmatch(number)) is not None:
        share = "\u00a0%" if found[2] else ""
        return f"{localized(found[1])}{share} {unit}".strip()
    return _INSTANT.sub(_instant, text)


def _instant(found: re.Match[str]) -> str:
    """A day or a minute, as it stands in a sentence."""
    ts = datetime.fromisoformat(found[0]).replace(tzinfo=UTC)
    return moment(ts) if found[2] else day(ts)


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Those first that leave least open."""
    forms = sorted(FORMS, key=lambda form: -len(re.sub(r"{\w+}", "", form)))
    return [(form, re.compile(re.sub(r"\\{(\w+)\\}", _blank, re.escape(form)))) for form in forms]


def _blank(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>{_KINDS.get(found[1], '(?:(?!; ).)+?')})"
