"""Files that are whole or not there, and never hold a secret.

Each write goes to a temporary neighbour, is synced, renamed into place, and the folder synced: a kill or a power cut
at any instant leaves the old file or the new one. Secrets become `***` on the way, and the writer says so: the values
that this process knows, and what is one by its form wherever it comes from, as the signature of a request.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from qtlib.durable import into_place

if TYPE_CHECKING:
    import pandas as pd

HIDDEN = "***"
_SECRET_NAME = re.compile(r"^QT_.*(SECRET|KEY|TOKEN|PASSW)", re.IGNORECASE)
RESERVE, RESERVE_BYTES = ".reserve", 128_000  # an error with its traceback, a line of log and a record
_TEXTS = (".json", ".jsonl", ".log", ".yaml", ".ipynb", ".html", ".txt")
_SHORTEST = 6  # characters: a shorter "secret" is a word like any other, and replacing it would spoil the file
_BY_FORM = re.compile(  # what precedes a secret, and the secret
    r"((?:signature|listenKey)=|X-MBX-APIKEY['\"]{0,2} ?[:=] ?['\"]{0,2}|://[^/\s:@'\"]{1,80}:)"
    r"((?<=[=:'\" ])[0-9A-Za-z%+/_-]{32,}|(?<=[^/]:)[^/\s:@'\"]{1,200}(?=@))"
)
_kept: set[str] = set()  # that came from elsewhere than the environment


def secrets(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The secret values this process knows, longest first."""
    environ = os.environ if environ is None else environ
    known = {value for name, value in environ.items() if _SECRET_NAME.match(name)} | _kept
    for url in (environ.get("QT_DATABASE_URL", ""), *environ.get("QT_ALERT_URLS", "").split()):
        known |= secrets_of(url)
    return tuple(sorted((s for s in known if len(s) >= _SHORTEST), key=len, reverse=True))


def keep_secret(*values: str) -> None:
    """From now on these are secrets, too, to this process."""
    _kept.update(values)


def secrets_of(url: str) -> set[str]:
    """What in an address must not be seen: its password, and whatever looks like a token.

    >>> sorted(secrets_of("slack://T1JJ3T3L2/A1BRTD4JD/#general")), secrets_of("json://127.0.0.1:8080")
    (['A1BRTD4JD', 'T1JJ3T3L2'], set())
    """
    if "://" not in url:
        return set()
    rest = url.split("://", 1)[1]
    parts = [part for part in re.split(r"[/?&=@:#,]", rest) if "." not in part or len(part) >= 40]
    tokens = {part for part in parts if len(part) >= 8 and any(c.isdigit() for c in part)}
    login = rest.rpartition("@")[0].split("/")[0]
    password = login.partition(":")[2]
    found = tokens | ({password} if password else set())
    return found | {unquote(part) for part in found}


def redact(text: str, known: tuple[str, ...] | None = None) -> str:
    """`text` without the secrets, plain or as JSON and addresses write them.

    >>> redact("key is hunter22, ok", ("hunter22",))
    'key is ***, ok'
    >>> redact(f"GET /fapi/v1/order?symbol=BTCUSDT&signature={64 * '0'}")
    'GET /fapi/v1/order?symbol=BTCUSDT&signature=***'
    >>> redact("postgresql://me:hunter22@localhost/q")
    'postgresql://me:***@localhost/q'
    """
    for secret in secrets() if known is None else known:
        for form in {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}:
            text = text.replace(form, HIDDEN)
    return _BY_FORM.sub(rf"\1{HIDDEN}", text)


def write_text(path: Path, text: str) -> bool:
    """Write `text`; true if a secret had to be taken out of it."""
    clean = redact(text)
    with into_place(path) as tmp, tmp.open("w", encoding="utf-8") as f:
        f.write(clean)
        f.flush()
        os.fsync(f.fileno())
    return clean != text


def write_json(path: Path, value: object) -> bool:
    """Write `value`; infinities and what JSON has no word for are errors, not text."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, frame: "pd.DataFrame") -> None:
    """Write `frame` with its column names and without its row numbers."""
    known = secrets()
    frame = frame.apply(lambda column: _clean(column, known) if column.dtype.kind in "OTU" else column)
    with into_place(path) as tmp:
        frame.to_parquet(tmp, compression="zstd", index=False)
        with tmp.open("rb") as f:
            os.fsync(f.fileno())


def _clean(column: "pd.Series[Any]", known: tuple[str, ...]) -> "pd.Series[Any]":
    """`column` without secrets; words repeat, so each is looked at once."""
    dirty = {v: c for v in {v for v in column if isinstance(v, str)} if (c := redact(v, known)) != v}
    return column.map(lambda v: dirty.get(v, v)) if dirty else column


def scrub(folder: Path) -> list[str]:
    """The names of the text files in `folder` that held a secret; they hold none now."""
    known, held = secrets(), []
    for path in sorted(p for p in folder.iterdir() if p.suffix in _TEXTS):
        text = path.read_text(encoding="utf-8", errors="replace")
        if redact(text, known) != text:
            write_text(path, text)
            held.append(path.name)
    return held


def reserve(folder: Path) -> None:
    """Keep a little room in `folder`, so that there is some for last words once the disk is full."""
    (folder / RESERVE).write_bytes(os.urandom(RESERVE_BYTES))  # not zeros: a disk that compresses would keep none


def release(folder: Path) -> None:
    """Give the room back that `reserve` keeps, if it does."""
    (folder / RESERVE).unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """What a whole JSON file says; None where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
