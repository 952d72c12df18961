"""Alerts: what needs a person is sent to where they are, through apprise, each trouble once.

They follow from the journal, from what a supervisor sees, and from a session's silence. A book beside the journal says
how far it was read and what was sent, so that a restart sends nothing twice; killed between sending and writing that
down, one message may come again, and none is lost. The addresses hold tokens and passwords: they come from the
environment (`QT_ALERT_URLS`, blanks between them) or from a file that only its owner may read (`QT_ALERT_URLS_FILE`,
one a line), never from settings, and no text shows more of one than its kind.
"""

import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psutil

from qtlib.domain.decisions import Decision
from qtlib.domain.events import DecisionMade
from qtlib.journal import Journal, JournalError
from qtlib.params import Params, SettingsError
from qtlib.report.alarms import Alarm, alarm, standing, unnumbered
from qtlib.runs.alerting.book import Book, message
from qtlib.runs.record import atomic
from qtlib.runs.record.folder import DIED, RUNNING, RunFolder, journal_location, runs, runs_root

URLS, URLS_FILE = "QT_ALERT_URLS", "QT_ALERT_URLS_FILE"
LOOK_S = 2.0
LAST_LOOK_S = 10.0  # that the end of a session waits for what is still to be sent
SILENT_S = 60.0  # without a sign of life a session that should give some is missed

Post = Callable[[str, str], bool]  # title and text; whether they arrived


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody is to be reached; `name` is all that may be shown of it."""

    name: str
    post: Post = field(repr=False)


def addresses(environ: Mapping[str, str] | None = None) -> tuple[Address, ...]:
    """Those that the environment names; `SettingsError` for one that is none, which is not shown."""
    urls = _urls(os.environ if environ is None else environ)
    if not urls:
        return ()
    import apprise  # noqa: PLC0415  cold start: half a second, for sessions that alert nobody

    logging.getLogger("apprise").disabled = True  # what it logs of addresses is its own choice
    found = []
    for number, (where, url) in enumerate(urls, 1):
        atomic.keep_secret(*atomic.secrets_of(url))
        server = apprise.Apprise.instantiate(url)
        if server is None:
            raise SettingsError(
                f"{where}: address {number} is none that apprise understands; they look like json://127.0.0.1:8080, "
                "tgram://TOKEN/CHAT or mailtos://HOST?…"
            )
        found.append(Address(f"{number}:{url.split(':', 1)[0].lower()}", _poster(apprise, server)))
    return tuple(found)


def alerts(
    params: Params, root: Path | None = None, on_trouble: Callable[[str], None] | None = None
) -> "Alerts | None":
    """The alerts of the account that these settings name; None: nobody is to be told."""
    known = addresses()
    return Alerts(params, root or runs_root(), known, on_trouble=on_trouble) if known else None


class Alerts:
    """Of one account. Several processes may hold them: one at a time looks."""

    def __init__(
        self,
        params: Params,
        root: Path,
        known: Sequence[Address],
        *,
        on_trouble: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`on_trouble` hears why something could not be looked at or sent."""
        self._account, self._mode, self._root = params.session.account, params.mode, root
        self._again_s, self._quiet_h = params.alerts.again_h * 3_600, params.session.quiet_alarm_h
        self._addresses, self._now = {address.name: address for address in known}, now
        self._on_trouble = on_trouble or (lambda words: None)
        self._heard: SimpleQueue[Alarm] = SimpleQueue()
        self._journal: Journal | None = None
        self._decision: Decision | None = None

    def tell(self, words: str, topic: str = "") -> None:
        """Something that no journal knows; it is sent with the next look."""
        self._heard.put(Alarm(topic or unnumbered(words), words))

    def look(self, supervised: bool = False) -> int:
        """Read on, and send what is due; how many lines could not be sent yet.

        `supervised`: whoever calls sees for himself whether the session lives.
        """
        with _turn(self._root / "journal" / f"{self._account}.alerts.lock") as ours:
            if not ours:
                return 0
            book, now = self.book(), self._now()
            for found in [*self._read(book), *self._queued(), *([] if supervised else self._missed())]:
                book.hear(found, list(self._addresses), now, self._again_s)
            for lost in book.dismiss(list(self._addresses), now):
                self._on_trouble(f"an alert was never sent: {lost.words}")
            self._keep(book)  # first what is to be sent, so that nothing is lost
            self._send(book, now)
            return len(book.due)

    def book(self) -> Book:
        """What was alerted so far, and what is to be."""
        return Book.read(atomic.read_json(self._path) or {})

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = None

    # --- what there is to tell ------------------------------------------------------------------------------

    def _read(self, book: Book) -> list[Alarm]:
        """The alarms of what is new in the journal; of what was there before anybody was to be told, none."""
        try:
            journal = self._opened()
            if journal is None:
                book.seq = 0
                return []
            newest = journal.newest()
            if book.seq is None or book.seq > newest:
                book.seq = newest if book.seq is None else 0  # else it is another journal than it was
            found, decided = [], False
            for seq, event in journal.events(book.seq):
                book.seq = seq
                if isinstance(event, DecisionMade):
                    self._decision, decided = event.decision, True
                if (one := alarm(event)) is not None:
                    found.append(one)
            if decided and (quiet := standing(journal.state(), self._decision, self._quiet_h)):
                found.append(quiet)
            return found
        except JournalError as why:
            self.close()
            self._on_trouble(f"alerts could not read the journal: {why}")
            return []

    def _opened(self) -> Journal | None:
        if self._journal is None:
            where = journal_location(self._account, self._root)
            if isinstance(where, str) or where.exists():
                self._journal = Journal(where, self._account, reading=True)
        return self._journal

    def _queued(self) -> Iterator[Alarm]:
        with suppress(Empty):
            while True:
                yield self._heard.get_nowait()

    def _missed(self) -> list[Alarm]:
        """A session that should give signs of life, and gives none: nobody is left to start it again."""
        folder = next((f for f in runs(self._root) if _of(f, self._account)), None)
        if folder is None:
            return []
        status, silent_s = folder.record().get("status"), _silent_s(folder, self._now())
        if status == DIED and not _supervised(self._root / "journal" / f"{self._account}.lock"):
            words = f"The session died ({folder.run_id}), and none has taken its place."
        elif status == RUNNING and silent_s > SILENT_S:
            words = f"No sign of life from the session for {silent_s:.0f} s ({folder.run_id})."
        else:
            return []
        stops = "What is open is protected by its stops at the venue; `qt status` shows it, `qt live` begins a new one."
        return [Alarm(f"silent {folder.run_id}", f"{words} {stops}", once=True)]

    # --- sending --------------------------------------------------------------------------------------------

    def _send(self, book: Book, now: float) -> None:
        title = f"Quantum Trader · {self._account} · {self._mode.upper()}"
        for name, address in self._addresses.items():
            if not (lines := book.to_send(name, now)):
                continue
            if address.post(title, atomic.redact(message(lines))):
                book.sent_to(name, lines, now)
            else:
                book.failed_at(name, now)
                self._on_trouble(f"{len(lines)} alerts could not be sent to {name}; they are tried again")
            self._keep(book)

    def _keep(self, book: Book) -> None:
        atomic.write_json(self._path, book.plain())

    @property
    def _path(self) -> Path:
        return self._root / "journal" / f"{self._account}.alerts.json"


@contextmanager
def watching(of: Alerts | None) -> Iterator[None]:
    """A thread looks again and again, until the block ends; what is due then is waited for, but not for long."""
    if of is None:
        yield
        return
    done = threading.Event()

    def look() -> None:
        last = False
        while not last:
            last = done.wait(LOOK_S)
            with suppress(OSError):  # a full disk: it is tried again
                of.look(supervised=True)
        of.close()

    thread = threading.Thread(target=look, name="alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(LAST_LOOK_S)


def tested(known: Sequence[Address]) -> list[dict[str, Any]]:
    """Send each address a word that says it is a test; what became of it."""
    rows = []
    for address in known:
        begun = time.monotonic()
        arrived = address.post("Quantum Trader · test", "This is a test: alerts arrive here.")
        rows.append({"address": address.name, "arrived": arrived, "seconds": round(time.monotonic() - begun, 2)})
    return rows


# --- below ----------------------------------------------------------------------------------------------------


def _urls(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each address with the name of where it stands."""
    found = [(URLS, url) for url in environ.get(URLS, "").split()]
    if named := environ.get(URLS_FILE, "").strip():
        path = Path(named).expanduser()
        try:
            others = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as why:
            raise SettingsError(f"{URLS_FILE}: {path} can't be read ({getattr(why, 'strerror', why)})") from None
        if others:
            raise SettingsError(f"{URLS_FILE}: others may read {path}, and it holds secrets: chmod 600 {path}")
        found += [(URLS_FILE, line) for line in lines if line and not line.startswith("#")]
    return found


def _poster(apprise: Any, server: Any) -> Post:
    def post(title: str, text: str) -> bool:
        sender = apprise.Apprise()
        sender.add(server)
        try:
            return bool(sender.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT))
        except Exception:  # whatever a plugin raises, the session goes on
            return False

    return post


def _of(folder: RunFolder, account: str) -> bool:
    return folder.kind == "live" and folder.record().get("session_id") == account


def _supervised(lock: Path) -> bool:
    """Whether the supervisor that wrote its number into `lock` still runs, and so will mend it."""
    try:
        return psutil.Process(int(lock.read_text(encoding="ascii"))).create_time() <= lock.stat().st_mtime + 1.0
    except (OSError, ValueError, psutil.Error):
        return False


def _silent_s(folder: RunFolder, now: float) -> float:
    """Since the last sign of life; without any, since the run began."""
    beat = atomic.read_json(folder / "heartbeat.json") or {}
    try:
        last = float(beat["ts"]) if "ts" in beat else (folder / "record.json").stat().st_mtime
    except OSError:
        return 0.0
    return 0.0 if beat.get("resting") else max(0.0, now - last)


@contextmanager
def _turn(path: Path) -> Iterator[bool]:
    """Whether it is ours to look: one process at a time, and nobody waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
