"""What can be refused now is not worth a kernel: all that a run will need is asked for before its folder is made.

It calls what the notebook will call, and keeps nothing: what it opens it closes, what is not there yet it does not
make. So a refusal has the words and the exit code of the room that it comes from, wherever it is found.
"""

from pathlib import Path

from qtlib.engine.session import Name, insist_on_market, limits_set
from qtlib.params import Params
from qtlib.runs import wiring
from qtlib.runs.record.folder import journal_location, runs_root, venue_location, with_room
from qtlib.runs.sweep.searched import space_of


def preflight(kind: str, params: Params, root: Path | None = None) -> None:
    """Raise what a run of `kind` would fail with: settings, bars, the runs folder, the account's journal and venue.

    A session that holds something is not refused for want of somebody who may believe: it has something to protect.
    """
    root, holds = root or runs_root(), False
    believer = wiring.believer(params, root)
    listed = wiring.instruments(params)
    if params.data.source == "files":
        wiring.market(params)
    else:
        wiring.simulated_market(params)
    with_room(root)
    if kind == "sweep":
        space_of(params)
    where = journal_location(params.session.account, root) if kind == "live" else None
    if isinstance(where, str) or (where and where.exists()):
        from qtlib.journal import Journal  # noqa: PLC0415  cold start, as in wiring

        with Journal(where, params.session.account) as journal, journal.lease("a session about to start"):
            state = journal.state()
            insist_on_market(state, wiring.prices_of(params))
            limits_set(state, params.limits, Name(reason=params.session.reason or ""), journal.now())
            holds = bool(state.account.positions)
    refusal: str = getattr(believer, "refusal", "")
    if refusal and not holds:
        wiring.strategy(params, root)  # which says so
    if kind != "live":
        return
    store = venue_location(params.session.account, root)
    if store.exists():
        wiring.venue(params, listed, store).close()
