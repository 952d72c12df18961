"""Settings: what may be said, what it becomes, and what a mistake is answered with."""

from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtlib.learning.search import SweepParams
from qtlib.market.simulated import Regime
from qtlib.market.simulated.regimes import KINDS
from qtlib.params import (
    Params,
    SettingsError,
    Unearned,
    dump_yaml,
    load_yaml,
    resolve,
    validate,
    validate_changes,
)
from qtlib.params.given import RULES
from qtlib.params.layers import ENVIRONMENT
from qtlib.params.sections import Regime as RegimeSetting
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Strangers
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams
from qtlib.rules.universe import UniverseParams
from qtlib.runs import wiring

SHIPPED = sorted((Path(__file__).parents[1] / "params").glob("*.yaml"))
TWINS = {"sizing": SizingParams, "limits": RiskLimits, "exits": ExitParams, "sweep": SweepParams}


def refused(*overrides, environ=None, file=None, kind=SettingsError):
    with pytest.raises(kind) as e:
        resolve(file, overrides, environ)
    return str(e.value)


# --- the rules' own numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("section", TWINS)
def test_a_section_has_the_names_and_defaults_of_its_rule(section):
    assert list(RULES[section].model_fields) == [f.name for f in fields(TWINS[section])]
    assert getattr(Params(), section) == TWINS[section]()
    assert validate({section: {}}) == Params()


@pytest.mark.parametrize("section", TWINS)
def test_what_a_rule_reads_is_its_own_dataclass(section):
    assert type(getattr(resolve().params, section)) is TWINS[section]


def test_every_setting_says_what_it_is_and_numbers_say_their_range():
    for name, info in ((f"{s}.{n}", i) for s, n, i in _all_settings()):
        assert info.description, name
        if info.annotation in (int, float) and not name.endswith(".seed"):
            assert "[" in info.description or "multiple" in info.description or "bars" in info.description, name
            assert info.metadata, f"{name} has no range"


def _all_settings():
    for section, info in Params.model_fields.items():
        model = RULES.get(section) or info.annotation
        for name, field in getattr(model, "model_fields", {}).items():
            yield section, name, field


# --- order ------------------------------------------------------------------------------------------------


def test_each_layer_is_over_the_last(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("limits: {max_positions: 5, max_gross_exposure: 500}\n")
    environ = {"QT_MAX_POSITIONS": "6", "QT_TP_FRAC": "0.02"}
    calls = [(None,), (file,), (file, (), environ), (file, ["limits.max_positions=7"], environ)]
    assert [resolve(*call).params.limits.max_positions for call in calls] == [4, 5, 6, 7]
    made = resolve(file, ["limits.max_positions=7"], environ)
    assert made.params.limits.max_gross_exposure == 500
    assert made.overrides == {"limits.max_positions": 7, "exits.tp_frac": 0.02}


def test_every_familiar_environment_name_reaches_a_setting():
    for name, path in ENVIRONMENT.items():
        section, _, key = path.partition(".")
        assert section in Params.model_fields
        model = RULES.get(section) or Params.model_fields[section].annotation
        assert not key or key in model.model_fields, name


def test_symbols_may_be_written_with_commas():
    assert resolve(environ={"QT_SYMBOLS": "BTCUSDT, ETHUSDT"}).params.universe.symbols == ("BTCUSDT", "ETHUSDT")
    assert resolve(overrides=["universe.symbols=[XRPUSDT]"]).params.universe.symbols == ("XRPUSDT",)


# --- there and back ---------------------------------------------------------------------------------------


@given(
    positions=st.integers(1, 1000),
    tp=st.floats(0.0005, 0.3),
    notional=st.floats(0.01, 1e6),
    balance=st.decimals(1, 10**9, places=2),
    title=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40),
)
def test_settings_written_and_read_back_are_the_same(tmp_path_factory, positions, tp, notional, balance, title):
    values = {"limits": {"max_positions": positions, "max_notional_per_trade": notional}, "exits": {"tp_frac": tp}}
    values |= {"venue": {"balance": str(balance)}, "report": {"title": title}}
    file = tmp_path_factory.getbasetemp() / "there-and-back.yaml"
    file.write_text(dump_yaml(values), encoding="utf-8")
    first = resolve(file)
    file.write_text(first.dump_yaml(), encoding="utf-8")
    second = resolve(file)
    assert second.params == first.params == validate(first.params.plain())
    assert second.hash == first.hash
    assert second.params.venue.balance == balance


@pytest.mark.parametrize("text", ["0E0", "1e-3", "0o17", "0x1F", "null", "true", "~", "", "on", "12:30", "- a", "a: b"])
def test_a_text_that_looks_like_something_else_is_still_that_text(tmp_path, text):
    file = tmp_path / "own.yaml"
    file.write_text(dump_yaml({"report": {"title": text}}), encoding="utf-8")
    assert resolve(file).params.report.title == text


def test_the_hash_changes_with_any_setting():
    seen = {resolve().hash, resolve(overrides=["data.seed=1"]).hash, resolve(overrides=["exits.net_r=0.31"]).hash}
    assert len(seen) == 3


@pytest.mark.parametrize("file", SHIPPED, ids=lambda p: p.name)
def test_the_files_that_come_along_are_runnable(file):
    needed = ["data.path=bars"] if file.name == "replay.yaml" else []
    params = resolve(file, needed).params
    assert params.mode == "sim"
    assert len(params.universe.symbols) >= 5


def test_the_replay_holds_the_crash_and_says_what_it_needs():
    file = SHIPPED[0].with_name("replay.yaml")
    data = resolve(file, ["data.path=bars"]).params.data
    assert data.start < datetime(2022, 11, 8, tzinfo=UTC) < data.end
    assert data.bars is None
    assert "-p data.path=FOLDER" in refused(file=file)


def test_the_backtest_has_the_numbers_of_the_session():
    sim, backtest = (resolve(SHIPPED[0].with_name(n)).params for n in ("sim.yaml", "backtest.yaml"))
    for section in ("venue", "data", "universe", "strategy", "sizing", "limits", "exits"):
        assert getattr(sim, section) == getattr(backtest, section)


def test_a_universe_is_all_that_is_named_unless_a_rule_chooses():
    assert resolve().params.universe.rule is None
    chosen = resolve(overrides=["universe.top=3", "universe.min_age_days=2"]).params.universe
    assert chosen.rule == UniverseParams(3, UniverseParams().min_turnover_quote, 2.0)
    assert validate({"universe": chosen.model_dump(mode="json")}).universe == chosen
    assert "set universe.top" in refused("universe.min_age_days=2")


# --- mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"exits": {"sl_frac": 0.02}, "limits": {"max_positions": 2}, "venue": {"balance": "500"}},
        {"exits": {"sl_frac": 5}},
        {"exits": {"sl_fra": 0.02}, "sizing": {"risk_frac": -1}},
        {"limits": {"max_positions": True}},  # which equals the 1 that may have been there
        {"limits": {"api_key": 1}},
        {"nonsense": {}},
        {"sizing": 3},
        {"data": {"source": "files"}},
        {"mode": "live"},
        {"mode": "paper", "venue": {"speed": 2.0}},
    ],
)
def test_changes_are_checked_as_the_whole_is(change):
    params = resolve(overrides=["limits.max_positions=1"]).params
    plain = params.plain()
    values = plain | {
        name: {**plain.get(name, {}), **said} if isinstance(said, dict) else said for name, said in change.items()
    }
    answers = []
    for check in (lambda: validate(values), lambda: validate_changes(params, plain, values)):
        try:
            answers.append(check())
        except SettingsError as why:
            answers.append((type(why), str(why)))
    assert answers[0] == answers[1] != params


def test_no_check_of_one_section_looks_into_another():
    """Else a change could be wrong, and its section alone be right: `validate_changes` would not see it."""
    decorators = Params.__pydantic_decorators__
    assert not decorators.model_validators
    assert not decorators.root_validators
    assert not decorators.field_validators


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("limits: {max_positons: 3}\n")
    assert refused(file=file) == f"{file}: unknown limits.max_positons (did you mean limits.max_positions?)"
    assert "did you mean exits?" in refused("exit.tp_frac=0.01")
    assert "did you mean QT_MAX_POSITIONS?" in refused(environ={"QT_MAX_POSITION": "3"})


def test_a_percent_where_a_fraction_belongs_is_refused_with_what_to_write():
    assert refused("exits.tp_frac=1.0") == (
        "-p exits.tp_frac = 1.0 must be at most 0.3; it is a fraction of price: 1 % is 0.01"
    )
    assert "1.5 % is 0.015" in refused(environ={"QT_SL_FRAC": "1.5"})


FRACTIONS = [
    (f"{section}.{name}", next(m.le for m in info.metadata if hasattr(m, "le")))
    for section, name, info in _all_settings()
    if isinstance(info.json_schema_extra, dict) and "fraction_of" in info.json_schema_extra
]


@pytest.mark.parametrize(("path", "high"), FRACTIONS)
def test_no_fraction_reaches_beyond_its_whole(path, high):
    assert high <= 1
    assert "it is a fraction of" in refused(f"{path}=3")


def test_a_wrong_type_is_never_converted():
    assert "limits.max_positions = 2.5 must be a valid integer" in refused("limits.max_positions=2.5")
    assert "sizing.base_notional = '200'" in refused("sizing.base_notional='200'")
    assert "data.allow_gaps = 'on'" in refused("data.allow_gaps=on")
    assert "finite" in refused("limits.max_gross_exposure=.inf")


@pytest.mark.parametrize(
    "key", ["api_key=hunter2", "venue.secret=hunter2", "strategy.params.token=hunter2", "password"]
)
def test_what_looks_like_a_secret_is_refused_without_repeating_it(key):
    message = refused(key)
    assert "secret" in message
    assert "hunter2" not in message


def test_a_secret_in_a_file_is_refused(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("venue: {api_secret: hunter2}\n")
    message = refused(file=file)
    assert str(file) in message
    assert "hunter2" not in message


def test_a_key_is_a_name_and_nothing_that_runs(tmp_path):
    assert "is no name" in refused("n; import os=1")
    assert "is no name" in refused("n; import os=1")
    file = tmp_path / "own.yaml"
    file.write_text('"limits; import os": {}\n')
    assert "is no name" in refused(file=file)


@pytest.mark.parametrize("word", [policy.value for policy in Strangers])
def test_what_follows_when_somebody_else_trades_is_a_setting(word):
    params = resolve(overrides=[f"session.strangers={word}"], environ={}).params
    assert wiring.rules(params, wiring.instruments(params)).strangers is Strangers(word)
    assert "strangers" in refused("session.strangers=ignore")


def test_real_money_is_not_traded_by_accident():
    assert "-p session.armed=true" in refused("mode=live")


@pytest.mark.parametrize("mode", ["paper", "demo"])
def test_a_real_market_has_its_own_time(mode):
    assert resolve(overrides=[f"mode={mode}"], environ={}).params.mode == mode
    assert "has the real one's time" in refused(f"mode={mode}", "venue.speed=60")


def test_live_money_is_for_a_promoted_model():
    assert "strategy.name is trend" in refused("mode=live", "session.armed=true", kind=Unearned)
    assert (
        resolve(overrides=["mode=live", "session.armed=true", "strategy.name=learned"], environ={}).params.mode
        == "live"
    )


def test_the_familiar_names_of_learning_are_settings():
    names = {"QT_CONTINUOUS_LEARNING": "false", "QT_MIN_SAMPLES_FOR_RETRAIN": "40", "QT_RETRAIN_INTERVAL_HOURS": "12.0"}
    learning = resolve(environ=names | {"QT_AUTO_BACKTEST_AFTER_TRAIN": "false"}).params.learning
    assert (learning.enabled, learning.min_samples, learning.interval_hours) == (False, 40, 12.0)
    assert not learning.backtest_after_train


def test_a_session_may_be_scheduled_instead_of_waiting_for_events():
    asked = resolve(environ={"QT_EVENT_DRIVEN_MODE": "false", "QT_CHECK_INTERVAL": "60.0"}).params.session
    assert (asked.event_driven, asked.check_interval_s) == (False, 60.0)
    assert "session.rollover = '24:00' must look like" in refused("session.rollover=24:00")


def test_names_of_others_with_our_prefix_are_left_alone():
    others = {"QT_IM_MODULE": "ibus", "QT_QPA_PLATFORM": "xcb", "QT_ACCESSIBILITY": "1", "QT_RUNS_DIR": "x"}
    assert resolve(environ=others).params == Params()


def test_settings_that_say_nothing_to_the_source_are_refused():
    assert "data.path says nothing to the simulated market" in refused("data.path=bars")
    assert "must come before" in refused(
        "data.source=files", "data.path=x", "data.start=2024-02-01", "data.end=2024-01-01"
    )
    assert "must divide" in refused("data.source=files", "data.path=x", "data.finer_timeframe=2h")


def test_a_missing_file_names_those_that_are_there():
    assert "sim.yaml" in refused(file=SHIPPED[0].with_name("smi.yaml"))


@pytest.mark.parametrize("text", ["a: [1", "just words", "- 1\n- 2", "limits: 5"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path, text):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    assert str(file) in refused(file=file)


def test_a_key_may_not_stand_twice(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("mode: sim\nmode: live\n")
    assert refused(file=file) == f"{file}, line 2: mode stands here twice"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("1.5e3", 1500.0),
        ("-.5", -0.5),
        ("12:30", "12:30"),
        ("no", "no"),
        ("on", "on"),
        ("0123", 123),
        ("0x1F", 31),
        ("2022-10-01", "2022-10-01"),
        ("true", True),
        ("~", None),
        ("", None),
        ("1_000", "1_000"),
    ],
)
def test_yaml_is_read_as_its_version_1_2_means_it(text, value):
    read = load_yaml(text)
    assert read == value
    assert type(read) is type(value)


def test_money_is_exact_as_written():
    assert resolve(overrides=["venue.balance=0.1"]).params.venue.balance == Decimal("0.1")
    facts = resolve(overrides=["venue.symbols={1000PEPEUSDT: {tick: 0.0000001, lot: 1, min_notional: 5}}"]).params
    assert facts.venue.symbols["1000PEPEUSDT"].tick == Decimal("1E-7")


# --- what happens to the simulated market -------------------------------------------------------------------


def test_regimes_are_those_of_the_simulated_market_and_reach_it():
    assert set(get_args(RegimeSetting.model_fields["kind"].annotation)) == set(KINDS)
    crash = "data.regimes=[{kind: crash, day: 3, size_frac: -0.5, symbols: [BTCUSDT]}]"
    made = resolve(overrides=[crash]).params
    assert wiring.simulated_market(made).regimes == (Regime("crash", 3.0, None, -0.5, ("BTCUSDT",)),)
    assert "crash of -50% on day 3 for 0.5 days (BTCUSDT)" in wiring.prices_of(made)
    assert "data.regimes.0.kind = 'boom' must be one of 'bull'" in refused("data.regimes=[{kind: boom, day: 3}]")
    assert "did you mean data.regimes.0.size_frac" in refused("data.regimes=[{kind: crash, day: 3, size: -0.5}]")
    files = ("data.source=files", "data.path=bars", "data.bars=null")
    assert "data.regimes says nothing to bars on disk" in refused(*files, crash)


@pytest.mark.parametrize("digits", ["1234", "0012", "1e34", "3.50", "true"])
def test_digits_that_name_something_are_no_number(digits):
    resolved = resolve(overrides=[f"parity.of={digits}", f"postmortem.of={digits}"])
    assert (resolved.params.parity.of, resolved.params.postmortem.of) == (digits, digits)
    assert resolve(overrides=["parity.of=null"]).params.parity.of is None
    with pytest.raises(SettingsError):
        resolve(overrides=["parity.of=[1, 2]"])
