"""Sentences that a record or a journal has in English, told again in the reader's language.

What is written down is English, for programs and for whoever helps; whoever writes it knows nothing of reports. So the
forms of these sentences stand here, with a blank for each thing that varies: `tests/report/test_retold.py` lets their
writers speak, and hears whether anything stays English. What has no form here is left as it is.
"""

import re
from datetime import datetime
from functools import cache

from qtlib.report.words import ENGLISH, localized, moment, say, spoken

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")
_NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?(e-?\d+)?")

GATE = (
    "bets out of sample",
    "days traded",
    "trades closed",
    "expectancy out of sample, lower bound",
    "expectancy out of sample over the rule's",
    "return a year over {other}, lower bound",
    "expectancy of its trades, lower bound",
    "drawdown",
    "calibration error",
    "overconfidence of its bets, lower bound",
    "Brier skill over the base rate",
    "deflated Sharpe ratio, of {count} tried",
    "share of permuted outcomes that do as well",
    "what permuted outcomes seem to teach, in standard errors",
    "above {least}",
    "at least {least}",
    "at most {most}",
    "unknown",
    "{name} is refused: {check} is {found} and must be {needs}, and {more} of the other {others} checks failed too.",
    "{name} is refused: {check} is {found} and must be {needs}.",
    "{name} is promoted: over {days} days that it was not fitted to it earned {told}, with a chance of {level} that "
    "this is luck; all {count} checks pass.",
    "{gain} of equity a year more than {first} (surely {low}) and {second}",
    "{gain} of equity a year more than {first} (surely {low})",
)
CARD = (
    "champion",
    "gate",
    "model",
    "learned from",
    "bars",
    "left out",
    "features",
    "data",
    "content",
    "libraries",
    "run",
    "yes",
    "no",
    "metric {name}",
    "promise {name}",
    "setting {name}",
    "{model}, made {when}",
    "{rows} decisions on {symbols}, {timeframe}, {first} to {last}",
    "{source} (SIMULATED market: says nothing about real ones)",
    "{count}, schema {hash}",
    "not judged yet",
    "{known} a feature is unknown, {over} the outcome is not known yet",
    "{known} a feature is unknown",
    "{over} the outcome is not known yet",
)
MARKET = (
    "the simulated market ({edition}) of {timeframe} bars with seed {seed} and edge {edge}",
    "simulated market (seed {seed}, edge {edge})",
    "bars of {timeframe} on disk",
    "the real venue's public prices, {timeframe} bars",
    "the venue's demo market, {timeframe} bars",
    "the real venue, {timeframe} bars",
)
LESSON = (
    "all",
    "group",
    "predictions",
    "bets",
    "win rate",
    "expectancy [R]",
    "at least [R]",
    "trend rule [R]",
    "Brier",
    "of base rate",
    "AUC",
    "rank IC",
    "calm",
    "usual",
    "wild",
    "a feature is unknown",
    "the outcome is not known yet",
    "its bars may not be traded on, or those of its outcome are doubted",
    "all of {symbol}",
)
LEARNING = (
    "promoted: {why}",
    "refused: {why}",
    "asked: {why}",
    "failed: {why}",
    "fewer trades win than the model's probabilities say",
    "{moved} of {all} inputs drifted, most {name}, population stability index {index}, of chance {expected}",
)
BACKTEST = (
    "the event loop ran, because the compiled engine does not know this: {why}",
    "the compiled engine ran",
    "the event loop ran, as asked",
    "no leak found in {count}: {names}",
)
FORMS = GATE + CARD + MARKET + LESSON + LEARNING + BACKTEST


def retold(text: str) -> str:
    """`text` in the language that is spoken, if its form is known: what stands in its blanks is told again, too.

    >>> from qtlib.report.words import speaking
    >>> with speaking("nb"):
    ...     retold("drawdown"), retold("at most 0.25 R"), retold("nobody ever said this")
    ('nedtrekk', 'høyst 0,25 R', 'nobody ever said this')
    """
    if spoken() == ENGLISH:
        return text
    for form, pattern in _patterns():
        if (found := pattern.fullmatch(text)) is not None:
            return say(form, **{name: retold(part) for name, part in found.groupdict().items()})
    if _INSTANT.fullmatch(text):
        return moment(datetime.fromisoformat(text))
    number, _, unit = text.partition(" ")
    return f"{localized(number)} {unit}".strip() if _NUMBER.fullmatch(number) else text


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Those first that leave least open."""
    forms = sorted(FORMS, key=lambda form: -len(re.sub(r"{\w+}", "", form)))
    return [(form, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(form)))) for form in forms]
