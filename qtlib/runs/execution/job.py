"""What a supervisor tells a segment to run: one line of JSON, without any of the rooms that running it needs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from qtlib.params import Resolved, validate


@dataclass(frozen=True, slots=True)
class Job:
    """What a segment is told to run; all of it fits into JSON."""

    kind: str
    notebook: str
    root: str
    params: Mapping[str, Any]
    overrides: Mapping[str, Any]
    file: str | None
    env: Mapping[str, str]  # what the kernel is told beside its settings
    starter: int  # the process that must not go

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, line: str) -> Self:
        return cls(**json.loads(line))

    @property
    def resolved(self) -> Resolved:
        params = validate(self.params)
        return Resolved(params, self.overrides, self.file, params.hash())
