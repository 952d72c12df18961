"""The registry as a panel shows it and steers it, at the price of a look at one small file where nothing changed."""

from datetime import UTC, datetime
from pathlib import Path

from qtlib.learning import registry
from qtlib.learning.bundle import BadBundle
from qtlib.panel.desk import Models, Shelved
from qtlib.runs.record.commands import actor

BY_HAND = "by hand, from the panel"


class Registered:
    """The models in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._judged: dict[tuple[str, int], str] = {}  # by version, and when its ruling was written

    def look(self) -> Models:
        there = tuple(Shelved(version, self._word(version)) for version in reversed(registry.versions(self._root)))
        try:
            changes = registry.history(self._root)
        except BadBundle as why:
            return Models(there, "", why=str(why))
        if not changes:
            return Models(there, "")
        last = changes[-1]
        before = registry.predecessor(self._root, last.version) if last.version else ""
        return Models(there, last.version, datetime.fromisoformat(last.at), last.who, last.why, before)

    def promote(self, version: str) -> None:
        registry.promote(self._root, version, who=actor(), why=BY_HAND, at=datetime.now(UTC))

    def roll_back(self) -> None:
        registry.rollback(self._root, who=actor(), why=BY_HAND, at=datetime.now(UTC))

    def _word(self, version: str) -> str:
        try:
            told = (self._root / version / registry.RULING).stat().st_mtime_ns
        except FileNotFoundError:
            told = 0
        key = (version, told)
        if key not in self._judged:
            self._judged[key] = self._read(version)
        return self._judged[key]

    def _read(self, version: str) -> str:
        try:
            ruling = registry.show(self._root, version).ruling
        except BadBundle:
            return "damaged"
        return "not judged" if ruling is None else "promoted" if ruling.get("promoted") else "refused"
