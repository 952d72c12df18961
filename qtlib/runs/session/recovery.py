"""Recovery by hand: what the next session would find and do, in words; or that, and no more than that."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from qtlib.domain.account import Position
from qtlib.domain.decisions import Moment
from qtlib.domain.orders import Action, Submit
from qtlib.engine.rehearsal import Foreseen, foresee
from qtlib.engine.session import insist_on_market, session
from qtlib.exchanges.port import Exchange
from qtlib.journal import Journal
from qtlib.params import Resolved
from qtlib.report.story import tell
from qtlib.rules.rules import Rules
from qtlib.runs import wiring
from qtlib.runs.record.folder import journal_location
from qtlib.runs.record.run import Run, open_folder
from qtlib.runs.record.secrecy import without_secrets
from qtlib.runs.session import live


def recovery(resolved: Resolved, *, act: bool) -> dict[str, Any]:
    """Per symbol: both sides, the evidence, and what follows from it; carried out if `act`.

    Looking leaves nothing behind. Acting is a run of its own, with a folder, and takes the account's lease.
    """
    params, account = resolved.params, resolved.params.session.account
    with (
        Journal(journal_location(account), account, clean=without_secrets) as journal,
        live.exchange(params) as exchange,
    ):
        start = journal.state()
        insist_on_market(start, wiring.prices_of(params))
        rules = wiring.rules(params, exchange.instruments(live.symbols(params, start, exchange)))
        found = foresee(rules, exchange, journal)
        if act and found:
            _carry_out(resolved, rules, exchange, journal)
    return {
        "account": account,
        "mode": params.mode,
        "acted": act,
        "agree": not any(one.learned or one.actions for one in found),
        "symbols": [_row(one) for one in found],
    }


def _carry_out(resolved: Resolved, rules: Rules, exchange: Exchange, journal: Journal) -> None:
    """A session of a single heartbeat."""
    run = Run(open_folder("recover", resolved, datetime.now(UTC)), resolved.params, adhoc=True)
    with journal.lease(run.run_id):
        start = journal.state()
        journal.listener = wiring.narrator(run, rules)
        watch = live.auditor(run, rules)
        session([Moment(start.ts, {})], rules, exchange, journal, name=wiring.name(run), watch=watch)
    run.finish()


# --- words ------------------------------------------------------------------------------------------------


def _row(one: Foreseen) -> Mapping[str, Any]:
    return {
        "symbol": one.symbol,  # empty: of the whole account
        "journal": _held(one.journal),
        "exchange": _held(one.exchange),
        "evidence": [line.strip() for step in one.learned for line in _told(step)],
        "then": [_asked(action) for action in one.actions],
    }


def _told(step: Any) -> Iterator[str]:
    before, event, after = step
    yield from tell(before, event, after)


def _held(position: Position | None) -> str:
    if position is None:
        return "nothing"
    side = "LONG" if position.quantity > 0 else "SHORT"
    return f"{side} {abs(position.quantity):f} @ {position.entry_price.normalize():f}"


def _asked(action: Action) -> str:
    if not isinstance(action, Submit):
        return f"cancel {action.client_id}"
    intent = action.intent
    level = intent.trigger if intent.trigger is not None else intent.price
    size = "whatever is held" if intent.close_position else f"{intent.quantity:f}"
    at = "at market" if level is None else f"at {level:f}"
    return f"{intent.role.value}: {intent.side.value} {size} {at}"
