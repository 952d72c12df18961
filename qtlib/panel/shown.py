"""Each part of the panel as markup, from a `Sight`. Signs are written, unknown is a dash, no colour speaks alone.

Tables are those of an exchange's screen: symbols in rows, numbers aligned right under heads that name their unit.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from qtlib.domain.commands import Outcome
from qtlib.domain.events import TradingStatus
from qtlib.domain.orders import OrderStatus
from qtlib.panel.markup import pairs, plain, table, tinted
from qtlib.panel.sight import Asked, Held, Life, Sight, flat
from qtlib.report.names import (
    limit_name,
    loop_name,
    order_status_name,
    order_type_name,
    reason_name,
    role_name,
    rule_name,
    status_name,
    verb_name,
)
from qtlib.report.retold import retold
from qtlib.report.words import UNKNOWN, age, clock, moment, number, percent, price, say, short_moment, signed
from qtlib.rules.used import Used

_MODES = {
    "sim": ("SIM", "simulated market and venue: no real prices, no real money"),
    "paper": ("PAPER", "real prices, simulated venue: no real money"),
    "demo": ("DEMO", "the venue's demo account: no real money"),
    "live": ("LIVE", "REAL MONEY"),
}


def head(sight: Sight) -> str:
    """Mode and venue, unmistakable; the status with its cause; whether anybody is there."""
    word, meaning = _MODES.get(sight.mode, (sight.mode.upper(), ""))
    status = sight.state.status
    kind = {TradingStatus.ACTIVE: "go", TradingStatus.REDUCING: "slow", TradingStatus.HALTED: "halt"}[status]
    kind, name = (kind, status_name(status)) if sight.known else ("unknown", UNKNOWN)  # nobody trades yet
    brake = sight.brake
    since = say("since {when} UTC", when=moment(brake.since)) if brake else ""
    cause = " · ".join(filter(None, [retold(sight.state.cause) if status is not TradingStatus.ACTIVE else "", since]))
    return (
        f'<div class="qt-head qt-mode-{escape(sight.mode)}">'
        f'<div class="qt-mode"><strong>{escape(word)}</strong><span>{escape(say(meaning))}</span></div>'
        f'<div class="qt-who"><b>{escape(sight.account)}</b><span>{escape(retold(sight.market))}</span></div>'
        f'<div class="qt-status qt-{kind}" role="status"><strong>{escape(name)}</strong>'
        f"<span>{escape(cause)}</span></div></div>"
    )


def life(sight: Sight) -> str:
    """One line: whether the session lives, and how old all of this is."""
    silent = age(sight.silent_s)
    words = {
        Life.LIVES: say("Session lives · last sign {age} ago", age=silent),
        Life.STARTS: say("Session starts · no sign of life yet"),
        Life.SILENT: say("STALE · no sign from the session for {age}: what is shown was true then", age=silent),
        Life.DIED: say("STALE · the session died: what is shown was true then"),
        Life.ENDED: say("STALE · no session runs: what is shown was true when the last one ended"),
        Life.NONE: say("No session has ever run for this account"),
    }[sight.life]
    as_of = say("venue time {when} UTC", when=moment(sight.state.ts)) if sight.known else ""
    reading = "" if sight.complete else say("still reading the past")
    more = " · ".join(filter(None, [as_of, reading, sight.trouble or ""]))
    kind = "lives" if sight.life is Life.LIVES else "stale"
    return f'<div class="qt-life qt-{kind}"><i></i><strong>{escape(words)}</strong><span>{escape(more)}</span></div>'


def figures(sight: Sight) -> str:
    """The few numbers that are asked for first."""
    state, known = sight.state, sight.known
    equity = float(state.equity) if known else None
    day = float(state.equity - state.day_equity) if known else None
    day_frac = float((state.equity - state.day_equity) / state.day_equity) if known and state.day_equity else None
    opened = sum(row.pnl or 0.0 for row in sight.positions) if known else None
    limits = {row.name: row for row in sight.limits}
    naked = [row.symbol for row in sight.positions if row.naked_s is not None]
    protected = say("all protected") if not naked else say("UNPROTECTED: {symbols}", symbols=", ".join(naked))
    held, gross = limits.get("max_positions"), limits.get("max_gross_exposure")
    drawdown = limits.get("max_drawdown_frac")
    cards = (
        (say("Equity"), number(equity), say("{cash} cash", cash=number(float(state.account.cash) if known else None))),
        (say("Day P&L"), signed(day), f"{percent(day_frac, sign=True)} · {say('since 00:00 UTC')}"),
        (say("Open P&L"), signed(opened), say("before costs of leaving")),
        (
            say("Positions"),
            f"{len(sight.positions)} / {number(held.limit, ',.0f') if held else UNKNOWN}",
            protected if sight.positions else say("flat"),
        ),
        (
            say("Exposure"),
            number(gross.used, ",.0f") if gross else UNKNOWN,
            say("of {most} allowed", most=number(gross.limit if gross else None, ",.0f")),
        ),
        (
            say("Drawdown"),
            percent(drawdown.used) if drawdown else UNKNOWN,
            say("halts at {most}", most=percent(drawdown.limit if drawdown else None, ".1f")),
        ),
    )
    shown = "".join(
        f'<div class="qt-card"><dt>{escape(name)}</dt><dd>{tinted(value)}</dd>'
        f'<dd class="qt-note">{escape(note)}</dd></div>'
        for name, value, note in cards
    )
    return f'<dl class="qt-cards">{shown}</dl>'


def positions(sight: Sight) -> str:
    heads = (
        *(say("Symbol"), say("Protection"), say("Size"), say("Value"), say("Entry"), say("Break-even"), say("Mark")),
        *(say("Liq. price"), say("Margin"), say("P&L"), "%", "ROI", "R", say("Funding"), say("Stop"), say("Target")),
        say("Exit plan"),
    )
    rows = [_position(row) for row in sight.positions]
    return table(say("Positions"), heads, rows, words={0, 1, 16}, empty=say("nothing is held"))


def _position(row: Held) -> Sequence[str]:
    side = say("LONG") if row.long else say("SHORT")
    kind = "long" if row.long else "short"
    leverage = "" if row.leverage is None else f"{row.leverage}×"
    found = (
        f' <em title="{escape(say("found at the venue, not opened by us"))}">{say("found")}</em>'
        if row.recovered
        else ""
    )
    symbol = f'<b>{escape(row.symbol)}</b> <span class="qt-side qt-{kind}">{side} {leverage}</span>{found}'
    return (
        symbol,
        _protection(row),
        escape(number(abs(row.quantity), ",.8g")),
        escape(number(row.value)),
        escape(price(row.entry)),
        escape(price(row.breakeven)),
        escape(price(row.mark)),
        escape(price(row.liquidation)),
        escape(number(row.margin)),
        tinted(signed(row.pnl)),
        tinted(percent(row.pnl_frac, sign=True)),
        tinted(percent(row.roi_frac, ".1f", sign=True)),
        tinted(number(row.r, "+.2f")),
        tinted(signed(row.funding)),
        escape(price(row.stop)),
        escape(price(row.target) if not row.partial_taken else say("taken")),
        _plan(row),
    )


def _plan(row: Held) -> str:
    words = []
    if row.trail_frac is not None:
        trail = percent(row.trail_frac, ".1f")
        words.append(
            say("trails {distance}", distance=trail) if row.trailing else say("will trail {distance}", distance=trail)
        )
    if row.time_stop is not None:
        words.append(say("out by {when}", when=short_moment(row.time_stop)))
    return "<br>".join(map(escape, words)) or UNKNOWN


def _protection(row: Held) -> str:
    if row.naked_s is None:
        net = say("stop + net") if row.net_stop is not None else say("stop")
        return f'<span class="qt-ok">✓ {escape(net)}</span>'
    return f'<span class="qt-bad">✗ {escape(say("NO STOP for {age}", age=age(row.naked_s)))}</span>'


def orders(sight: Sight) -> str:
    heads = (
        say("Symbol"),
        say("Why"),
        say("Side"),
        say("Type"),
        say("Quantity"),
        say("At"),
        say("State"),
        say("Since"),
    )
    rows = [
        (
            f"<b>{escape(row.symbol)}</b>",
            escape(role_name(row.role)),
            escape(say(row.side.upper())),
            escape(order_type_name(row.kind)),
            escape(say("all") if row.quantity is None else number(row.quantity, ",.8g")),
            escape(price(row.level)),
            escape(order_status_name(OrderStatus(row.status))),
            escape(short_moment(row.since) if row.since else UNKNOWN),
        )
        for row in sight.orders
    ]
    return table(say("Working orders"), heads, rows, words={0, 1, 2, 3, 6}, empty=say("no order works"))


def limits(sight: Sight) -> str:
    """Each limit with what of it is used; what holds from tomorrow on only where that is something else."""
    later = any(row.asked != row.limit for row in sight.limits)
    heads = (say("Limit"), say("Used"), say("In force"), say("Share"), *([say("From tomorrow")] if later else []))
    rows = [
        (
            escape(limit_name(row.name)),
            escape(_amount(row.name, row.used)),
            escape(_amount(row.name, row.limit)),
            _bar(row),
            *([escape(_amount(row.name, row.asked) if row.asked != row.limit else UNKNOWN)] if later else []),
        )
        for row in sight.limits
    ]
    return table(say("Limits"), heads, rows, words={0}, empty=say("no session has said its limits yet"))


def _bar(row: Used) -> str:
    share = row.share_frac
    if share is None:
        return UNKNOWN
    kind = "full" if share >= 1 else "near" if share >= 0.8 else "room"
    width = min(100.0, 100 * share)
    mark = "!" if share >= 1 else ""
    return (
        f'<span class="qt-bar qt-{kind}"><i style="width:{width:.0f}%"></i></span>'
        f'<span class="qt-share">{escape(percent(share, ".0f"))}{mark}</span>'
    )


def _amount(name: str, value: float | None) -> str:
    if value is None:
        return UNKNOWN
    if name.endswith("_frac"):
        return percent(value)
    if name.endswith("_s"):
        return age(value) if value else number(0.0, ",.0f", " s")
    return number(value, ",.4g" if name == "max_leverage" else ",.0f")


def refusals(sight: Sight) -> str:
    """Why no trade, at the last decision and lately."""
    heads = (say("Symbol"), say("Why not"), say("Limit that bound"), say("Wanted"), say("Lately"))
    rows = [
        (
            f"<b>{escape(row.symbol)}</b>",
            escape(reason_name(row.reason)),
            escape(rule_name(row.rule) if row.rule else UNKNOWN),
            escape(number(row.wanted) if row.wanted else UNKNOWN),
            escape(say("{times} of {cycles}", times=row.times, cycles=row.cycles)),
        )
        for row in sight.refusals
    ]
    empty = say("no candidate was refused at the last decision") if sight.decided else say("no decision was read yet")
    return table(say("Why no trade"), heads, rows, words={0, 1, 2}, empty=empty)


def learning(sight: Sight) -> str:
    """What the session says of its learning; nothing is shown as enabled that no counter proves."""
    rows = _registry(sight)
    page = sight.outside.health
    if page is None:
        return pairs([*rows, (say("Learning"), say("not known: the session shows no health page"))])
    told = page.get("learning") or {}
    if not told.get("enabled"):
        return pairs([*rows, (say("Learning"), say("off in this session"))])
    since, needed = told.get("samples_since_retrain"), told.get("needed")
    rows += [
        (say("Samples since retrain"), f"{plain(since)} / {plain(needed)}"),
        (say("Last retrain"), say("runs now") if sight.state.learning.running else _instant(told.get("last_retrain"))),
        (say("Last verdict"), retold(plain(told.get("last_outcome")))),
        (say("Next due"), _instant(told.get("next_due"))),
        (say("Drift"), retold(plain(told.get("drift")))),
    ]
    return pairs(rows)


def _instant(told: object) -> str:
    """A time that the health page tells."""
    return moment(datetime.fromisoformat(str(told))) if told else UNKNOWN


def _registry(sight: Sight) -> list[tuple[str, str]]:
    """Who is champion, who trades, and whether that is the same by now."""
    trades, models = sight.state.learning.version, sight.models
    rows = [(say("Trades now"), trades or say("the rule of thumb"))]
    if models is None:
        return rows if sight.state.learning.enabled else []
    since = say("since {when} UTC, by {who}", when=moment(models.changed), who=models.who) if models.changed else ""
    told = (models.champion or say("none"), since, retold(models.why))
    rows.append((say("Champion"), " · ".join(filter(None, told))))
    if models.champion != trades and models.changed is not None:
        waits = age(max(0.0, (sight.now - models.changed).total_seconds()))
        rows.append((say("Taken over"), say("not yet, after {age}: a session does so at its next bar", age=waits)))
    elif models.changed is not None:
        rows.append((say("Taken over"), say("yes: the champion trades")))
    return rows


def loops(sight: Sight) -> str:
    """Each loop of the session with the age of its last sign of life, and the way to the exchange."""
    page = sight.outside.health
    if page is None:
        return pairs([(say("Health"), say("the session shows no health page"))])
    rows = []
    for name, loop in (page.get("loops") or {}).items():
        mark = '<span class="qt-ok">✓</span>' if loop.get("ok") else f'<span class="qt-bad">✗ {say("late")}</span>'
        every = say("every {age}", age=age(loop.get("interval_s")))
        rows.append((escape(loop_name(str(name))), mark, escape(age(loop.get("age_s"))), escape(every)))
    reachable = flat(page, "exchange", "reachable")
    words = {True: say("answers"), False: say("DOES NOT ANSWER"), None: UNKNOWN}[reachable]  # type: ignore[index]
    kind = {True: "qt-ok", False: "qt-bad", None: ""}[reachable]  # type: ignore[index]
    heard = flat(page, "exchange", "last_event_age_s")
    offset = flat(page, "exchange", "clock_offset_ms")
    clock_words = UNKNOWN if offset is None else say("clock {ms} ms off", ms=number(float(str(offset)), "+,.0f"))
    seen = age(float(str(heard))) if heard is not None else UNKNOWN
    rows.append(
        (escape(say("exchange")), f'<span class="{kind}">{escape(words)}</span>', escape(seen), escape(clock_words))
    )
    if sight.outside.rss_mb is not None:
        rows.append((escape(say("memory")), "", escape(number(sight.outside.rss_mb, ",.0f", " MB")), ""))
    if page.get("last_error"):
        rows.append(
            (
                escape(say("last error")),
                f'<span class="qt-bad">{escape(retold(str(page["last_error"])))}</span>',
                "",
                "",
            )
        )
    return table(say("Loops"), (say("Loop"), "", say("Last sign"), ""), rows, words={0, 1, 3})


def asked(sight: Sight) -> str:
    """Commands, newest first: each waits, or was carried out, or was not."""
    rows = [
        (
            escape(clock(row.asked, seconds=True)),
            f"<b>{escape(verb_name(row.verb))}</b> {escape(row.what)}",
            _outcome(row),
            escape(retold(row.words) or say("asked by {by}", by=row.by)),
        )
        for row in sight.asked[:8]
    ]
    heads = (say("Asked, UTC"), say("Command"), say("Carried out"), say("In words"))
    return table(say("Commands"), heads, rows, words={0, 1, 2, 3}, empty=say("nothing was asked yet"))


def _outcome(row: Asked) -> str:
    took = age(row.seconds)
    if row.outcome is None:
        return f'<span class="qt-waits">… {escape(say("waits for {age}", age=took))}</span>'
    words = {
        Outcome.DONE: ("qt-ok", "✓", say("done after {age}", age=took)),
        Outcome.REFUSED: ("qt-bad", "✗", say("refused")),
        Outcome.EXPIRED: ("qt-bad", "✗", say("expired")),
    }
    kind, mark, said = words[row.outcome]
    return f'<span class="{kind}">{mark} {escape(said)}</span>'


def brake(sight: Sight) -> str:
    """What holds trading back, and the code that lets go of it."""
    held = sight.brake
    if held is None:
        return ""
    by = say("by {by}, {when} UTC", by=retold(held.by), when=moment(held.since))
    then = say("equity then {then}, now {now}", then=number(float(held.equity)), now=number(float(sight.state.equity)))
    code = "" if sight.code is None else f"<p>{escape(say('Code to re-arm'))}: <code>{escape(sight.code)}</code></p>"
    return (
        f'<div class="qt-brake"><p><strong>{escape(retold(held.cause))}</strong></p>'
        f"<p>{escape(by)} · {escape(then)}</p>{code}</div>"
    )


def log(sight: Sight) -> str:
    """The last lines of the session's log, newest first."""
    rows = []
    for line in reversed(sight.outside.log):
        when = str(line.get("venue_ts") or line.get("ts") or "")[:16].replace("T", " ")
        level = str(line.get("level", "info"))
        mark = {"warning": "▲ ", "error": "✗ "}.get(level, "")
        said = f"{mark}{line.get('msg', '')}"
        rows.append(f'<li class="qt-{escape(level)}"><time>{escape(when)}</time><span>{escape(said)}</span></li>')
    body = "".join(rows) or f"<li><span>{escape(say('nothing was logged yet'))}</span></li>"
    return f'<ol class="qt-log" tabindex="0" aria-label="{escape(say("Log"))}">{body}</ol>'


def heading(title: str, note: str = "") -> str:
    return f'<div class="qt-title"><h2>{escape(title)}</h2><span>{escape(note)}</span></div>'


def journal_note(sight: Sight) -> str:
    """How old what was read in the journal is."""
    if not sight.known:
        return ""
    return say("journal, {age} ago", age=age(sight.read_age_s))


def decided_note(sight: Sight) -> str:
    return say("decided {when} UTC", when=moment(sight.decided)) if sight.decided else ""


def log_note(sight: Sight) -> str:
    return sight.outside.run_id or ""


def page_note(sight: Sight) -> str:
    return say("health page") if sight.outside.health is not None else ""
