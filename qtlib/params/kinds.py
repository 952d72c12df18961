"""What settings are made of: sections that take no unknown key, and values as people write them."""

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)
from pydantic_core import PydanticCustomError

TIMEFRAMES = {"1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14_400}
TIMEFRAMES |= {"6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400}  # name -> seconds
SIMULATED_BARS = 2_000  # what the simulated market makes where nobody says how many


class SettingsError(ValueError):
    """The settings make no sense; the message says which, why, and what to write."""


class Unearned(SettingsError):
    """Understood, and refused until a model has earned it."""


def frac(default: float, of: str, low: float, high: float, text: str) -> Any:
    """A fraction of `of`, within sane bounds that keep a percent out."""
    return Field(
        default, ge=low, le=high, description=f"{text} [fraction of {of}]", json_schema_extra={"fraction_of": of}
    )


def _decimal(raw: object) -> object:
    """What a person wrote, digit by digit: 0.1 is a tenth."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float | Decimal):
        return raw
    try:
        return Decimal(str(raw))
    except InvalidOperation:
        raise PydanticCustomError("decimal", "should be a number") from None


def _instant(raw: object) -> object:
    """An ISO 8601 date or time; without a zone it is UTC."""
    if not isinstance(raw, str):
        return raw
    try:
        ts = datetime.fromisoformat(raw)
    except ValueError:
        raise PydanticCustomError("instant", "should be a date or time as in 2022-10-01 or 2022-10-01T08:00Z") from None
    return ts.replace(tzinfo=UTC) if ts.tzinfo is None else ts.astimezone(UTC)


def listed(raw: object) -> object:
    """A YAML list, or names with commas between, as the environment and the command line write them."""
    if isinstance(raw, str):
        raw = [name.strip() for name in raw.split(",") if name.strip()]
    return tuple(raw) if isinstance(raw, list) else raw


def _symbol(raw: str) -> str:
    if not re.fullmatch(r"[A-Z0-9]{5,20}", raw):
        raise PydanticCustomError("symbol", "should be a symbol as the venue writes it, like BTCUSDT")
    return raw


def pairs(raw: object) -> object:
    return tuple(tuple(row) if isinstance(row, list) else row for row in raw) if isinstance(raw, list) else raw


Exact = Annotated[Decimal, BeforeValidator(_decimal), PlainSerializer(str, return_type=str)]
Instant = Annotated[
    datetime, BeforeValidator(_instant), PlainSerializer(lambda ts: f"{ts:%Y-%m-%dT%H:%M:%S}Z", return_type=str)
]
Symbol = Annotated[str, AfterValidator(_symbol)]
Timeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"]
Share = Annotated[float, Field(ge=0.0, le=1.0, json_schema_extra={"fraction_of": "the whole"})]
Plain = bool | int | float | str | None


class Section(BaseModel):
    """Strict and frozen: no unknown key, no silent conversion, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def clock(default: str, text: str) -> Any:
    return Field(
        default,
        pattern=r"^\s*\S+(\s+\S+){4}\s*$",
        description=f"{text}; null: never [crontab, UTC]",
    )
