"""The registry as a session needs it: who is champion, at the price of a look at one small file, and its strategy."""

import os
from datetime import UTC, datetime
from pathlib import Path

from qtlib.learning import registry
from qtlib.learning.bundle import BadBundle
from qtlib.learning.card import Shown
from qtlib.learning.decay import ROLL_BACK, Promise, Verdict
from qtlib.learning.drift import Profile
from qtlib.learning.learned import Learned
from qtlib.learning.registry import Bundle, Change, NoSuchModel

Unfit = (BadBundle, NoSuchModel)  # what a model that can't be asked raises


class Shelf:
    """The models in a folder, each loaded once."""

    def __init__(self, root: Path, who: str) -> None:
        """`who` is written down beside what is changed here."""
        self.root, self._who = root, who
        self._loaded: dict[str, Bundle] = {}
        self._seen: tuple[int, int] | None = None  # of the file that names the champion: its number and its time
        self._champion: Change | None = None

    def champion(self) -> Change | None:
        """The last change of champion; None: none is."""
        try:
            told = os.stat(self.root / registry.CHAMPION)  # noqa: PTH116  asked at every bar: half the time of Path.stat
        except FileNotFoundError:
            return None
        if (found := (told.st_ino, told.st_mtime_ns)) != self._seen:
            self._champion, self._seen = registry.champion(self.root), found
        return self._champion

    def last_word(self) -> str:
        """Why the champion is who it is, or there is none any more."""
        changes = registry.history(self.root)
        return changes[-1].why if changes else ""

    def bundle(self, version: str) -> Bundle:
        """The model of this name, compared and tried; one of `Unfit` if it can't be asked."""
        if version not in self._loaded:
            self._loaded[version] = registry.load(self.root, version)
        return self._loaded[version]

    def strategy(self, version: str) -> Learned:
        return self.bundle(version).strategy

    def content_hash(self, version: str) -> str:
        return self.bundle(version).content_hash

    def show(self, version: str) -> Shown:
        """Its card, and what became of it."""
        return registry.show(self.root, version)

    def promise(self, version: str) -> Promise | None:
        """What the gate promoted it with; None: it promised nothing."""
        said = self.bundle(version).card.promise
        expectancy_r, cap_r = said.get("expectancy_r"), said.get("cap_r")
        return None if expectancy_r is None or cap_r is None else Promise(expectancy_r, cap_r)

    def inputs(self, version: str) -> dict[str, Profile]:
        """How its features were distributed in what it learned from; empty: its card does not say."""
        told = self.bundle(version).card.inputs
        return {name: Profile(tuple(edges), tuple(counts)) for name, (edges, counts) in told.items()}

    def predecessor(self, version: str) -> str:
        return registry.predecessor(self.root, version)

    def take_down(self, version: str, verdict: Verdict) -> None:
        """Do what `verdict` says of `version`, if it is still champion."""
        now = registry.champion(self.root)
        if now is None or now.version != version:
            return
        change = registry.rollback if verdict.action == ROLL_BACK else registry.demote
        change(self.root, who=self._who, why=verdict.words, at=datetime.now(UTC))
