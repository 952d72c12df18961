"""The start-up sequence: everything is looked at once before money is at stake, and each step says what it found.

A step that finds something amiss ends entries for this session, and nothing else: recovery, protection and exits go
on. A venue that does not answer for a moment has said nothing: it is asked again before that counts. To add a step:
write the function, from what there is to words; raise to object; add it to `STEPS`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.request import ProxyHandler, build_opener

import numpy as np

from qtlib.engine.feeds import Past, Strategy, panel_of
from qtlib.engine.rehearsal import foresee
from qtlib.exchanges.again import Again
from qtlib.exchanges.binance.adapter import Binance
from qtlib.exchanges.port import Finding
from qtlib.journal import Journal
from qtlib.report.blocks import findings_table
from qtlib.report.markup import Html
from qtlib.rules.rules import Rules
from qtlib.runs import wiring
from qtlib.runs.record.health import Health
from qtlib.runs.record.run import Run

HEALTH_S = 2.0  # a page on loopback answers in a hundredth of that
PATIENCE_S = 20.0  # with a venue that does not answer, over all steps: ours is there again by then if it died


@dataclass(frozen=True, slots=True)
class Ready:
    """What the steps found."""

    findings: tuple[Finding, ...]

    @property
    def misgivings(self) -> str:
        """What speaks against entries, in words; empty: nothing."""
        return "; ".join(f"{finding.step}: {finding.found}" for finding in self.findings if not finding.ok)

    def _repr_html_(self) -> Html:
        return findings_table(self.findings)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What there is to look at."""

    run: Run
    journal: Journal
    strategy: Strategy
    exchange: Binance
    rules: Rules
    health: Health
    again: Again


def start_up(run: Run, journal: Journal, strategy: Strategy, exchange: Binance, rules: Rules, health: Health) -> Ready:
    """Every step in order, each told to the log as it is done."""
    findings = []
    for finding in _steps(_Subject(run, journal, strategy, exchange, rules, health, Again(PATIENCE_S))):
        warned = finding.ok and "WARNING" in finding.found
        mark, say = ("✅", run.log.info) if finding.ok and not warned else ("⚠️" if warned else "⛔", run.log.warning)
        say(f"{mark} start-up, {finding.step}: {finding.found}")
        findings.append(finding)
    return Ready(tuple(findings))


def _steps(subject: _Subject) -> Iterator[Finding]:
    for name, step in STEPS.items():
        try:
            found = subject.again(partial(step, subject))
            yield from [Finding(name, True, found)] if isinstance(found, str) else found
        except Exception as e:  # whatever it is: a step that breaks has not shown that all is well
            yield Finding(name, False, next((line for line in str(e).splitlines() if line.strip()), type(e).__name__))


def _settings(subject: _Subject) -> str:
    params = subject.run.params
    return f"mode {params.mode}, settings {params.hash()[:12]}, {_traded(subject)}"


def _traded(subject: _Subject) -> str:
    universe = subject.run.params.universe
    if universe.rule is None:
        return f"{len(universe.symbols)} symbols"
    there = len(_symbols(subject))
    return f"the {universe.top} with the most turnover each day, of {there} that trade of {len(universe.symbols)} named"


def _symbols(subject: _Subject) -> tuple[str, ...]:
    """What is named in the settings, and listed."""
    return tuple(s for s in subject.run.params.universe.symbols if s in subject.rules.instruments)


def _journal(subject: _Subject) -> str:
    state = subject.journal.state()
    return f"account {subject.journal.account}, {subject.journal.last} events, {state.status.value}"


def _strategy(subject: _Subject) -> str:
    """It is loaded, and believes something about the newest bars."""
    data, strategy = subject.run.params.data, subject.strategy
    symbols = _symbols(subject)
    bars = subject.exchange.bars(symbols, data.timeframe, strategy.lookback)
    told = {symbol: wiring.frame(of) for symbol, of in bars.items() if of}
    panel = panel_of(Past(told))
    beliefs = strategy.signals(panel)
    score, confidence = beliefs.score[:, -1], beliefs.confidence[:, -1]
    known = np.flatnonzero(~np.isnan(score + confidence))
    if not len(known):
        return f"{strategy.name} is warming up: {len(panel)} of {strategy.lookback} bars are there"
    strongest = known[np.argmax(np.abs(score[known]))]
    return (
        f"{strategy.name} believes something about {len(known)} of {len(symbols)} symbols, most of "
        f"{panel.symbols[strongest]}: score {score[strongest]:+.2f}, confidence {confidence[strongest]:.2f}"
    )


def _venue(subject: _Subject) -> Iterator[Finding]:
    """What the exchange itself finds out, a step at a time."""
    params = subject.run.params
    named = params.universe.symbols if params.universe.rule is None else _symbols(subject)
    for found in subject.exchange.preflight(named, params.sizing.leverage, params.venue.margin_mode, subject.again):
        yield found._replace(step=f"venue, {found.step}")


def _recovery(subject: _Subject) -> str:
    """What the session's first moment will make good."""
    found = foresee(subject.rules, subject.exchange, subject.journal)
    news = [one.symbol or "the account" for one in found if one.learned or one.actions]
    held = sum(one.exchange is not None for one in found)
    return f"{held} positions; " + (f"to be made good: {', '.join(news)}" if news else "journal and exchange agree")


def _learning(subject: _Subject) -> str:
    """Who believes, and how far it is to the next retrain."""
    params, learning = subject.run.params, subject.journal.state().learning
    if params.strategy.name != wiring.LEARNED:
        return f"off: {params.strategy.name} is a rule of thumb (strategy.name=learned learns)"
    counted = f"{learning.samples} of {params.learning.min_samples} closed trades since the last retrain"
    last = f"; the last was {learning.last.outcome.value}" if learning.last else ""
    if refusal := getattr(subject.strategy, "refusal", ""):
        raise ValueError(f"nobody believes anything: {refusal}")
    believes = getattr(subject.strategy, "believer", subject.strategy.name)
    return f"{'on' if params.learning.enabled else 'off'}: {believes} believes; {counted}{last}"


def _executor(subject: _Subject) -> str:
    params = subject.run.params
    speed = params.venue.speed
    waits = params.mode == "sim" and speed is None
    pace = "the market waits for the session" if waits else "event-driven, by closed bars and private events"
    return f"{params.data.timeframe} bars, {pace}"


def _health(subject: _Subject) -> str:
    url = subject.health.url
    if url is None:
        return "no page: session.health_port is null"
    with build_opener(ProxyHandler({})).open(f"{url}/metrics", timeout=HEALTH_S) as answer:
        return f"{url} answers with {len(answer.read().splitlines())} lines of metrics"


Step = Callable[[_Subject], str | Iterator[Finding]]
STEPS: Mapping[str, Step] = {
    "settings": _settings,
    "journal": _journal,
    "strategy": _strategy,
    "venue": _venue,
    "recovery": _recovery,
    "learning": _learning,
    "executor": _executor,
    "health": _health,
}
