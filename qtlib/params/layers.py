"""Four layers, each over the last: built-in default, a YAML file, `QT_…` names, `-p section.key=value`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import create_model

from qtlib.params.checking import checked_mode, nearest, validated
from qtlib.params.kinds import Section, SettingsError
from qtlib.params.schema import Params
from qtlib.params.yaml12 import dump_yaml, load_yaml

ENVIRONMENT: Mapping[str, str] = {
    "QT_MODE": "mode",
    "QT_SYMBOLS": "universe.symbols",
    "QT_BASE_NOTIONAL": "sizing.base_notional",
    "QT_CONFIDENCE_THRESHOLD": "sizing.confidence_threshold",
    "QT_MAX_NOTIONAL_PER_TRADE": "limits.max_notional_per_trade",
    "QT_MAX_GROSS_EXPOSURE": "limits.max_gross_exposure",
    "QT_MAX_POSITIONS": "limits.max_positions",
    "QT_MAX_DAILY_LOSS_FRAC": "limits.max_daily_loss_frac",
    "QT_COOLDOWN_SECONDS": "limits.cooldown_s",
    "QT_TP_FRAC": "exits.tp_frac",
    "QT_SL_FRAC": "exits.sl_frac",
    "QT_TRAIL_FRAC": "exits.trail_frac",
    "QT_PROTECT_TIMEOUT_S": "exits.protect_timeout_s",
    "QT_EVENT_DRIVEN_MODE": "session.event_driven",
    "QT_CHECK_INTERVAL": "session.check_interval_s",
    "QT_HEALTH_PORT": "session.health_port",
    "QT_CONTINUOUS_LEARNING": "learning.enabled",
    "QT_MIN_SAMPLES_FOR_RETRAIN": "learning.min_samples",
    "QT_RETRAIN_INTERVAL_HOURS": "learning.interval_hours",
    "QT_AUTO_BACKTEST_AFTER_TRAIN": "learning.backtest_after_train",
}
# read elsewhere, and no settings of a run: where things lie, secrets, the tests' switches, the runner's own word
ELSEWHERE = {"QT_RUNS_DIR", "QT_DATABASE_URL", "QT_API_KEY", "QT_API_SECRET", "QT_REQUIRE", "QT_MARKET_DATA"}
ELSEWHERE |= {
    "QT_ALERT_URLS",
    "QT_ALERT_URLS_FILE",
    "QT_RUNNER_PID",
    "QT_RUN_DIR",
    "QT_RUN_GRACE_S",
    "QT_VENUE_URL",
    "QT_PANEL",
}
# the Qt widget toolkit shares the prefix, and desktops set its names for every program
_TOOLKIT = re.compile(
    r"QT_(IM_|ACCESSIBILITY|LINUX_|QPA_|SCALE_|SCREEN_|AUTO_SCREEN|ENABLE_HIGHDPI|FONT_|STYLE_|PLUGIN_|LOGGING_|DEBUG_|"
    r"XCB_|X11_|WAYLAND_|QUICK_|OPENGL|SELECT|GRAPHICSSYSTEM|DEVICE_|USE_|NO_|MAC_|STYLE|WIDGETS_|VIRTUALKEYBOARD)"
)
_SECRET = re.compile(r"secret|passw|passphrase|credential|token|(api|private|access)_?key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and where they came from."""

    params: Params
    overrides: Mapping[str, Any]  # path -> value, of what the environment and the command line said
    file: str | None  # the file's name, as it was given
    hash: str

    def dump_yaml(self) -> str:
        """The whole of the settings: read back, they are these."""
        head = f"# resolved settings · {self.file or 'defaults'} · sha256 {self.hash}\n"
        return head + dump_yaml(self.params.plain())

    def lines(self) -> list[str]:
        """The whole of the settings, a line for each section: what a start shows."""
        return [dump_yaml({name: value}, flow=True).strip()[1:-1] for name, value in self.params.plain().items()]


def resolve(
    file: str | Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Resolved:
    """Default, then `file`, then the `QT_…` names of `environ`, then `overrides` ("section.key=value"); the last wins.

    >>> resolve(overrides=["limits.max_positions=2"]).params.limits.max_positions
    2
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}  # path -> who said it last, for the error's sake
    said: dict[str, Any] = {}
    if file is not None:
        _merge(values, _read(Path(file)), str(file), sources)
    for name, path, value in _from_environment(environ or {}):
        _merge(values, _nest(path, value), name, sources)
        said[path] = value
    for text in overrides:
        path, value = _parse(text)
        _merge(values, _nest(path, value), f"-p {path}", sources)
        said[path] = value
    params = checked_mode(validated(values, sources, "" if file is None else str(file), Params))
    return Resolved(params, said, None if file is None else str(file), params.hash())


def validate(values: Mapping[str, Any]) -> Params:
    """Values as `Params.plain` wrote them, checked again by the same model."""
    _check_keys(values, "params")
    return checked_mode(validated(dict(values), {}, "params", Params))


def validate_changes(params: Params, plain: Mapping[str, Any], values: Mapping[str, Any]) -> Params:
    """As `validate(values)`, whose sections that are those of `plain`, the very same, are not checked again.

    `plain` is what `params` wrote. No check of one section looks into another, but for what `mode` says.
    """
    changes = {name: value for name, value in values.items() if name not in plain or value is not plain[name]}
    _check_keys(changes, "params")
    checked = validated(changes, {}, "params", _sections(frozenset(changes)))
    return checked_mode(params.model_copy(update={name: getattr(checked, name) for name in changes}))


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f"; {path.parent} has {', '.join(there)}" if there else f"; {path.parent.absolute()} holds no settings"
        raise SettingsError(f"{path} does not exist{hint}") from None
    except IsADirectoryError:
        raise SettingsError(f"{path} is a folder; name a file of settings in it") from None
    except UnicodeDecodeError as e:
        raise SettingsError(f"{path} is no text in UTF-8 (byte {e.start} is none of it); save it as UTF-8") from None
    except OSError as e:
        raise SettingsError(f"{path} cannot be read: {e.strerror or e}") from None
    values = load_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold sections (venue: …, sizing: …), not a {type(values).__name__}")
    _check_keys(values, str(path))
    # a section that is named and left empty says nothing
    return {k: v for k, v in values.items() if v is not None}


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """(name, path, value) of each `QT_…` setting; a `QT_…` name that means nothing is an error."""
    for name in sorted(n for n in environ if n.startswith("QT_")):
        text = environ[name]
        if name in ENVIRONMENT:
            if text.strip():  # a shell's way to say: not set
                yield name, ENVIRONMENT[name], load_yaml(text, name)
        elif name not in ELSEWHERE and not _TOOLKIT.match(name):
            raise SettingsError(f"unknown setting {name} in the environment{nearest(name, list(ENVIRONMENT))}")


def _parse(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals:
        if _SECRET.search(text):
            raise SettingsError("-p: what looks like a secret is no setting; it comes from the environment or keyring")
        raise SettingsError(f"-p {text}: write it as section.key=value")
    _check_keys(_nest(path, None), "-p")
    parsed = load_yaml(value, f"-p {path}")
    if isinstance(parsed, dict):
        _check_keys(_nest(path, parsed), "-p")
    return path, value.strip() if isinstance(parsed, int | float) and _is_text(path) else parsed


def _is_text(path: str) -> bool:
    """Whether the setting at `path` is a text: one of digits alone, as part of a run's name, is no number there."""
    section, _, name = path.partition(".")
    given = Params.model_fields.get(section)
    row = getattr(given.annotation, "model_fields", {}).get(name) if given else None
    return row is not None and row.annotation in (str, str | None)


def _nest(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def _merge(into: dict[str, Any], layer: Mapping[str, Any], source: str, sources: dict[str, str], at: str = "") -> None:
    for key, value in layer.items():
        path = f"{at}{key}"
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, source, sources, f"{path}.")
        else:
            into[key] = value
            for below in [p for p in sources if p.startswith(f"{path}.")]:
                del sources[below]
            sources[path] = source
            if isinstance(value, dict):
                into[key] = {}
                _merge(into[key], value, source, sources, f"{path}.")


def _check_keys(values: Mapping[str, Any], source: str, at: str = "") -> None:
    """Keys are plain names, and none of them a secret's: the value is not even looked at."""
    by_symbol = at in ("venue.symbols.", "limits.clusters.")  # 1000PEPEUSDT is a symbol, if no identifier
    for key, value in values.items():
        if _is_secret(key):
            raise SettingsError(
                f"{source}: {at}{key} looks like a secret, and secrets are no settings; put it into the environment "
                "(QT_API_KEY, QT_API_SECRET) or the keyring, and out of this place"
            )
        if not (key.isidentifier() or (by_symbol and re.fullmatch(r"\w+", key))):
            raise SettingsError(f"{source}: {at}{key!r} is no name; write it as section.key")
        if isinstance(value, Mapping):
            _check_keys(value, source, f"{at}{key}.")


@lru_cache(maxsize=64)
def _sections(names: frozenset[str]) -> type[Section]:
    """Those sections of `Params` alone: to check them takes a fifth of the time."""
    own: Any = {name: (info.annotation, info) for name, info in Params.model_fields.items() if name in names}
    return create_model("Params", __base__=Section, **own)


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET.search(key) is not None
