"""What is wrong with settings, said as a person would: who said it, what it was, what it must be, what to write."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import (
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from qtlib.params.given import RULES
from qtlib.params.kinds import Section, SettingsError, Unearned
from qtlib.params.schema import Params
from qtlib.params.sections import Regime, SymbolFacts

S = TypeVar("S", bound=Section)


def validated(values: dict[str, Any], sources: Mapping[str, str], default_source: str, kind: type[S]) -> S:
    """The settings that `values` are, of which `kind` has the checks, or `SettingsError`."""
    try:
        return kind.model_validate(values)
    except ValidationError as e:
        errors = e.errors()
        causes = [x for x in errors if not any(len(y["loc"]) > len(x["loc"]) == _common(x, y) for y in errors)]
        lines = list(dict.fromkeys(_sentence(error, sources, default_source) for error in causes))
        more = f" (and {len(lines) - 3} more)" if len(lines) > 3 else ""
        raise SettingsError("; ".join(lines[:3]) + more) from None


def checked_mode(params: Params) -> Params:
    """`params`: one word decides which world it is; what contradicts it is refused."""
    if params.mode == "live" and not params.session.armed:
        raise SettingsError("mode live trades real money: say that you mean it (-p session.armed=true)")
    if params.mode == "live" and params.strategy.name != "learned":
        raise Unearned(
            f"mode live trades only what a promoted model believes, and strategy.name is {params.strategy.name}: set "
            "strategy.name=learned; paper trades real prices without money, and demo is the venue's own playground"
        )
    if params.mode != "sim" and params.venue.speed is not None:
        raise SettingsError(f"venue.speed is of the simulated market, and mode {params.mode} has the real one's time")
    if params.mode not in ("sim", "paper") and params.venue.faults is not None:
        raise SettingsError(f"venue.faults are of our own venue, and mode {params.mode} has another")
    return params


def _common(a: ErrorDetails, b: ErrorDetails) -> int:
    """How many steps of the way to `a` and to `b` are the same."""
    return next(
        (i for i, (x, y) in enumerate(zip(a["loc"], b["loc"], strict=False)) if x != y),
        min(len(a["loc"]), len(b["loc"])),
    )


def _sentence(error: ErrorDetails, sources: Mapping[str, str], default_source: str) -> str:
    """One failed check as a person would say it: who said it, what it was, what it must be, what to write."""
    loc = [str(part) for part in error["loc"]]
    named = [p for p in loc if not p.startswith(("function-", "tuple[", "constrained-"))]
    path = ".".join(named)
    said = next((sources[p] for p in upwards(path) if p in sources), default_source)
    prefix = f"{said}: " if said and not said.startswith("-p ") else ("-p " if said else "")
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        known = fields_at(named[:-1])
        section = ".".join(named[:-1])
        return f"{prefix}unknown {path}{nearest(named[-1], list(known), section)}"
    if kind in ("path", "unused", "order", "finer", "twice"):
        return prefix.removesuffix("-p ") + error["msg"]
    info = fields_at(named[:-1]).get(named[-1]) if named else None
    if kind == "missing":
        return f"{prefix}{path} is missing{_hint(info, None)}"
    return f"{prefix}{path} = {_short(value)} {_must(error)}{_hint(info, value)}"


def _must(error: ErrorDetails) -> str:
    context, kind = error.get("ctx") or {}, error["type"]
    words = {
        "greater_than": "must be above {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be below {lt}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be one of {expected}",
        "too_short": "must not be empty",
        "string_pattern_mismatch": "must look like {pattern}",
        "finite_number": "must be a finite number",
        "model_type": "must be a section of key: value lines",
    }
    if kind in words:
        return words[kind].format(**context)
    wanted = error["msg"].removeprefix("Input should be ").removeprefix("should be ")
    return f"must be {wanted}"


def _hint(info: FieldInfo | None, value: object) -> str:
    """The unit, and for a fraction given as percent what to write instead."""
    if info is None:
        return ""
    extra = info.json_schema_extra
    of = extra.get("fraction_of") if isinstance(extra, dict) else None
    if of is None:
        return f" ({info.description})" if info.description else ""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return f"; it is a fraction of {of}: {value:g} % is {value / 100:g}"
    return f"; it is a fraction of {of}: 1 % is 0.01"


def fields_at(path: Sequence[str]) -> Mapping[str, FieldInfo]:
    """The fields of the section at `path`, where there is one."""
    if not path:
        return Params.model_fields
    if path[0] in RULES:
        return RULES[path[0]].model_fields if len(path) == 1 else {}
    if list(path[:2]) == ["venue", "symbols"]:
        return SymbolFacts.model_fields
    if list(path[:2]) == ["data", "regimes"]:
        return Regime.model_fields
    info = Params.model_fields.get(path[0])
    kind = info.annotation if info else None
    return kind.model_fields if len(path) == 1 and isinstance(kind, type) and issubclass(kind, Section) else {}


def nearest(name: str, known: Sequence[str], section: str = "") -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    full = f"{section}." if section else ""
    if near:
        return f" (did you mean {full}{near[0]}?)"
    return f" (known here: {', '.join(known)})" if known else ""


def upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
