"""The registry: models on disk, one folder a version, and one file that says which of them is champion.

A bundle is `model.skops`, `card.json` and `manifest.json`, which has the hash of each and one over all: it is whole or
not there, and never changed. What the gate ruled about that very content lies beside it (`ruling.json`).
`champion.json` holds the whole history of who was made champion by whom and why; its last line is the champion. It is
replaced in one step, so a kill at any instant leaves the old champion or the new one. Writers take turns (`.lock`).

A model is asked only after its hashes, its features' meaning and its libraries were compared, and after it said of a
few rows, to the bit, what it said when it was trained. What does not hold is refused in words (`BadBundle`).
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qtlib import durable
from qtlib.learning.bundle import BadBundle, Damaged, Outgrown, dumps, loads
from qtlib.learning.card import Card, Shown, libraries
from qtlib.learning.features import FEATURES, FeatureSet
from qtlib.learning.learned import Learned, Trained

MODEL, CARD, MANIFEST, RULING, CHAMPION = "model.skops", "card.json", "manifest.json", "ruling.json", "champion.json"
_BINDING = ("numpy", "scikit-learn", "TA-Lib")  # libraries whose other versions may compute other bits


class NoSuchModel(ValueError):
    """No bundle has this name, or none is champion; the message says which there are."""


class NotJudged(ValueError):
    """The gate did not promote it, and nobody said to promote it all the same."""


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the history: from `at` on this version is champion; empty: none is."""

    version: str
    at: str  # ISO 8601, UTC
    who: str
    why: str
    action: str = "promote"  # promote · rollback · demote
    before: str = ""  # the champion that a rollback returns to
    by_gate: bool = False  # the gate had promoted it


@dataclass(frozen=True, slots=True)
class Bundle:
    """A whole model, compared and tried."""

    version: str
    content_hash: str
    card: Card
    trained: Trained
    ruling: Mapping[str, Any] | None

    @property
    def strategy(self) -> Learned:
        return Learned(self.trained, self.version)


def save(root: Path, trained: Trained, card: Card) -> str:
    """Write a bundle, whole or not at all; its version, which ends with the beginning of its content hash."""
    files = {MODEL: dumps(trained), CARD: _json(card.row())}
    content_hash = _content_hash({name: _sha(content) for name, content in files.items()})
    made = datetime.fromisoformat(card.made).astimezone(UTC)
    version = f"{made:%Y%m%dT%H%M%SZ}-{card.model}-{content_hash[:8]}"
    files[MANIFEST] = _json({"files": {name: _sha(c) for name, c in files.items()}, "content_hash": content_hash})
    root.mkdir(parents=True, exist_ok=True)
    durable.write_folder(root / version, files)
    return version


def load(root: Path, version: str) -> Bundle:
    """The model, if it is what was saved and this program reads it as it was meant."""
    shown = show(root, version)
    try:
        _fitting(shown.card)
        trained = loads(_content(root / version)[MODEL])
    except BadBundle as error:
        raise type(error)(f"model {version}: {error}; {_way_out(root, version, error)}") from error
    return Bundle(version, shown.content_hash, shown.card, trained, shown.ruling)


def show(root: Path, version: str) -> Shown:
    """A model's card and what became of it; its files are compared with their hashes, and not run."""
    folder = _folder(root, version)
    try:
        content, manifest = _content(folder), _manifest(folder)
        card = Card.of(json.loads(content[CARD]))
        ruling = _ruling(folder, manifest["content_hash"])
    except BadBundle as error:
        raise type(error)(f"model {version}: {error}; {_way_out(root, version, error)}") from error
    except (ValueError, TypeError, KeyError) as error:
        words = f"model {version}: its card can't be read ({error})"
        raise Damaged(f"{words}; {_way_out(root, version, Damaged())}") from error
    now = champion(root)
    return Shown(version, manifest["content_hash"], card, ruling, now is not None and now.version == version)


def shelves(root: Path) -> tuple[Path, ...]:
    """The folders at `root` or right in it that hold bundles or had a champion: each has a champion of its own."""
    places = [root, *sorted(p for p in root.iterdir() if p.is_dir())] if root.is_dir() else []
    return tuple(place for place in places if versions(place) or (place / CHAMPION).is_file())


def find(root: Path, name: str) -> tuple[Path, str]:
    """The shelf and the version that `name` is, or is a part of: `latest`, `champion`, a name, a part of one name."""
    there = [(shelf, version) for shelf in shelves(root) for version in versions(shelf)]
    if name == "latest":
        found = sorted(there, key=lambda place: place[1])[-1:]
    elif name == "champion":
        found = [(shelf, now.version) for shelf in shelves(root) if (now := champion(shelf))]
    else:
        found = [p for p in there if p[1] == name] or [p for p in there if name and name in p[1]]
    if len(found) != 1:
        names = ", ".join(version for _, version in found or there)
        if found:
            raise NoSuchModel(f"{len(found)} models in {root} answer to {name!r}; name one of {names}")
        raise NoSuchModel(
            f"no model in {root} answers to {name!r}; {f'there are {names}' if names else 'there is none'}"
        )
    return found[0]


def versions(root: Path) -> tuple[str, ...]:
    """Every bundle there is, oldest first, good or not."""
    if not root.is_dir():
        return ()
    return tuple(sorted(p.name for p in root.iterdir() if not p.name.startswith(".") and (p / MANIFEST).is_file()))


def ruled(root: Path, version: str, ruling: Mapping[str, Any]) -> None:
    """Write down what the gate ruled about this very content."""
    folder = _folder(root, version)
    durable.write(folder / RULING, _json({**ruling, "content_hash": _manifest(folder)["content_hash"]}))


def champion(root: Path) -> Change | None:
    """The last change that there was; None where there never was one, or the last took the champion away."""
    changes = history(root)
    return changes[-1] if changes and changes[-1].version else None


def history(root: Path) -> tuple[Change, ...]:
    """Every change of champion, oldest first."""
    try:
        rows = json.loads((root / CHAMPION).read_text(encoding="utf-8"))
        return tuple(Change(**row) for row in rows["history"])
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(
            f"{root / CHAMPION} can't be read ({error}): nobody can say which model is champion; restore it from a "
            f"backup, or move it away and promote one of {', '.join(versions(root)) or 'no models'}"
        ) from error


def promote(
    root: Path, version: str, *, who: str, why: str, at: datetime, unjudged: bool = False, only_if: str | None = None
) -> Change:
    """Make a model champion, if it loads and the gate promoted it; `unjudged`: though it did not.

    `only_if` is the champion that whoever asks knows of: if there is another by now, nothing is changed.
    """
    bundle = load(root, version)
    by_gate = bool(bundle.ruling and bundle.ruling.get("promoted"))
    if not by_gate and not unjudged:
        said = "has not judged it" if bundle.ruling is None else f"said no: {bundle.ruling.get('words', '')}"
        raise NotJudged(f"model {version} is not promoted: the gate {said}")
    with _turn(root):
        now = champion(root)
        held = now.version if now else ""
        _folder(root, version)  # nobody removed it while it was tried
        if only_if is not None and held != only_if:
            raise NotJudged(f"model {version} was compared with {only_if or 'none'}, and {held or 'none'} is champion")
        if held == version:
            assert now is not None
            return now
        return _changed(root, Change(version, _iso(at), who, why, "promote", held, by_gate))


def rollback(root: Path, *, who: str, why: str, at: datetime) -> Change:
    """Return to the champion before this one, if it still loads; again, and to the one before that."""
    with _turn(root):
        now = champion(root)
        before = predecessor(root, now.version) if now else ""
        if now is None or not before:
            raise NoSuchModel(
                f"{'no model is champion' if now is None else f'before {now.version} there was no champion'}: "
                f"there is nothing to return to; `qt models list` shows what can be promoted"
            )
        load(root, before)
        made = next(c for c in reversed(history(root)) if c.version == before and c.action == "promote")
        return _changed(root, Change(before, _iso(at), who, why, "rollback", made.before, made.by_gate))


def demote(root: Path, *, who: str, why: str, at: datetime) -> Change:
    """No model is champion from now on."""
    with _turn(root):
        now = champion(root)
        if now is None:
            raise NoSuchModel("no model is champion: there is none to demote")
        return _changed(root, Change("", _iso(at), who, why, "demote", now.version))


def predecessor(root: Path, version: str) -> str:
    """The champion before this one became it, as a rollback finds it; empty: there was none."""
    return next((c.before for c in reversed(history(root)) if c.version == version), "")


def retain(root: Path, keep: int) -> tuple[str, ...]:
    """Remove all but the newest `keep` models, the champion and the one before it; what was removed.

    What killed writers left goes with them.
    """
    with _turn(root):
        now = champion(root)
        held = {now.version, predecessor(root, now.version)} if now else set()
        last = next((c.before for c in reversed(history(root)) if c.action == "demote"), "")  # may be wanted again
        loose = [v for v in versions(root) if v not in held | {last}]
        gone = tuple(loose[: max(0, len(loose) - keep)])
        for version in gone:
            durable.remove_folder(root / version)
        for left in root.glob(".*.tmp"):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return gone


# --- below ----------------------------------------------------------------------------------------------------------


def _changed(root: Path, change: Change) -> Change:
    durable.write(root / CHAMPION, _json({"history": [asdict(c) for c in (*history(root), change)]}))
    return change


@contextmanager
def _turn(root: Path) -> Iterator[None]:
    """One writer at a time; the system lets go of it, should we die."""
    root.mkdir(parents=True, exist_ok=True)
    fd = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _folder(root: Path, version: str) -> Path:
    if version not in versions(root):
        there = ", ".join(versions(root)) or "none"
        raise NoSuchModel(f"there is no model {version!r} in {root}; there are: {there}")
    return root / version


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if _content_hash(manifest["files"]) != manifest["content_hash"]:
            raise Damaged("its manifest does not add up to its content hash")
        if not folder.name.endswith(manifest["content_hash"][:8]):
            raise Damaged(f"its content hash {manifest['content_hash'][:8]} is not the one that it is named by")
    except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"its manifest can't be read ({error})") from error
    return dict(manifest)


def _content(folder: Path) -> dict[str, bytes]:
    """Its files, each with the hash it was written with."""
    found = {}
    for name, sha in _manifest(folder)["files"].items():
        try:
            found[name] = (folder / name).read_bytes()
        except OSError as error:
            raise Damaged(f"{name} can't be read ({error.strerror})") from error
        if _sha(found[name]) != sha:
            raise Damaged(f"{name} has hash {_sha(found[name])[:8]} and was written with {sha[:8]}")
    if missing := {MODEL, CARD} - set(found):
        raise Damaged(f"it has no {' and no '.join(sorted(missing))}")
    return found


def _ruling(folder: Path, content_hash: str) -> dict[str, Any] | None:
    try:
        ruling = json.loads((folder / RULING).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(ruling, dict) or ruling.get("content_hash") != content_hash:
        raise Damaged(f"its {RULING} is about something else than it holds")
    return ruling


def _fitting(card: Card) -> None:
    """Says no where this program would show the model other numbers than it was trained on, or add up differently."""
    if missing := [name for name in card.features if name not in FEATURES]:
        raise Outgrown(f"it was trained on {', '.join(missing)}, which this program does not have")
    if (now := FeatureSet(card.features).schema_hash) != card.schema_hash:
        raise Outgrown(f"its features mean something else here: schema {now[:8]}, trained on {card.schema_hash[:8]}")
    here = libraries()
    for name in _BINDING:
        if card.libraries.get(name) != here[name]:
            raise Outgrown(f"it was trained with {name} {card.libraries.get(name)}, and here is {here[name]}")


def _way_out(root: Path, version: str, error: BadBundle) -> str:
    good = predecessor(root, version) or "an older one"
    if isinstance(error, Outgrown):
        return "train a new one with `qt retrain`, or run the versions of its card (`qt models show`)"
    return f"restore its folder from a backup, or `qt models rollback` to {good}"


def _content_hash(files: Mapping[str, str]) -> str:
    return _sha("".join(f"{name} {sha}\n" for name, sha in sorted(files.items())).encode())


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
