"""What README and CONTRIBUTING name is there: commands, files, settings, rooms and words of the code."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import test_architecture
from typer.main import get_command
from typer.testing import CliRunner

from qtlib.cli import app
from qtlib.params import Params, SettingsError, resolve
from qtlib.params.layers import ELSEWHERE, ENVIRONMENT

HOME = Path(__file__).parent.parent
TEXTS = {name: (HOME / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}
TEXTS["tour"] = (HOME / "notebooks" / "tour.ipynb").read_text(encoding="utf-8")
README, CONTRIBUTING = TEXTS["README.md"], TEXTS["CONTRIBUTING.md"]
LARGEST_PICTURE_BYTES = 300_000

every_text = pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))


def code(text):
    """What stands between backticks, spans and blocks."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def commands(node=None, path=()):
    """Every command of `qt` there is, as words."""
    node = node or get_command(app)
    if not getattr(node, "commands", None):
        return {" ".join(path)}
    return set().union(*(commands(child, (*path, name)) for name, child in node.commands.items()))


def called(text):
    """Every line that calls `qt`: its words after that."""
    return [line.split("#")[0].split() for part in code(text) for line in re.findall(r"^(?:\$ )?qt (.+)$", part, re.M)]


@every_text
def test_every_command_that_is_named_is_there_with_its_options(text):
    for words in called(text):
        command = next((c for n in (2, 1) if (c := " ".join(words[:n])) in commands()), None)
        assert command or " ".join(words) == "…", f"qt {' '.join(words)}"
        if command:
            answer = CliRunner().invoke(app, [*command.split(), "--help"])
            assert answer.exit_code == 0
            options = [word for word in words if word.startswith("-")]
            assert all(option in answer.output for option in options), f"qt {' '.join(words)}"


def test_every_command_there_is_has_its_row():
    rows = re.findall(r"^\| `qt ([a-z ]+)` \|", README, re.M)
    assert sorted(rows) == sorted(commands())


@every_text
def test_every_make_target_that_is_named_is_there(text):
    targets = set(re.findall(r"^([a-z]+):", (HOME / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)", "\n".join(code(text)))) <= targets


@every_text
def test_every_file_that_is_named_is_there(text):
    named = re.findall(r"(?<![\w/.])((?:qtlib|tests|params|notebooks|runs|\.ci)/[\w./-]*)", "\n".join(code(text)))
    named += re.findall(r"\]\(([^)#]+)\)", text)
    made = [name for name in named if name.startswith("runs/") and not name.endswith(".md")]  # by runs: not in git
    assert [name for name in named if not (HOME / name).exists() and name not in made] == []


@every_text
def test_every_setting_that_is_named_is_one(text):
    words = re.sub(r"[\w/-]+\.(?:py|html|ipynb|json|jsonl|parquet|yaml)\b", "", " ".join(code(text)))  # but no file
    assert set(re.findall(r"\bQT_[A-Z_]+\b", words)) <= set(ENVIRONMENT) | ELSEWHERE
    settings = {name: values for name, values in Params().plain().items() if isinstance(values, dict)}
    named = [(s, key) for s, key in re.findall(r"(?<![\w.])([a-z]+)\.([a-z_]+)\b(?!\()", words) if s in settings]
    assert [f"{section}.{key}" for section, key in named if key not in settings[section]] == []


def test_the_environments_names_are_all_told_with_what_they_set():
    rows = re.findall(r"^\| ((?:`QT_\w+` ?)+)\| ((?:`[\w.]+` ?)*)", README, re.M)
    told = {
        name: path
        for names, paths in rows
        for name, path in zip(re.findall(r"QT_\w+", names), re.findall(r"[\w.]+", paths), strict=False)
    }
    assert told == dict(ENVIRONMENT)


def test_a_mistake_is_answered_as_the_readme_shows():
    [(setting, answer)] = re.findall(r"^\$ qt backtest -p (\S+)\n(.+)$", README, re.M)
    with pytest.raises(SettingsError) as refused:
        resolve(overrides=[setting])
    assert str(refused.value) == answer


def test_pictures_are_small_and_all_are_shown():
    pictures = sorted((HOME / "notebooks" / "pictures").iterdir())
    assert sorted(re.findall(r"!\[.+?\]\((.+?)\)", README)) == [str(p.relative_to(HOME)) for p in pictures]
    assert all(p.stat().st_size < LARGEST_PICTURE_BYTES for p in pictures)


def test_the_house_is_drawn_as_it_stands():
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", CONTRIBUTING, re.M)
    drawn, above = {}, set()
    for room, may in rows:
        drawn[room] = set(above) if may == "every room above" else set(re.findall(r"`([\w.]+)`", may))
        above.add(room)
    assert drawn == {room: may for room, may in test_architecture.MAY_IMPORT.items() if room != "__init__"}


def test_every_name_of_the_code_is_one_where_it_is_said_to_be():
    """`NAME` in `file.py`, as the paragraphs on new things say it."""
    for paragraph in CONTRIBUTING.split("## Where a new thing goes")[1].split("## How we write")[0].split("\n\n"):
        files = [HOME / name for name in re.findall(r"`((?:qtlib|tests)/[\w/]+\.py)`", paragraph)]
        source = "\n".join(path.read_text(encoding="utf-8") for path in files)
        names = re.findall(r"`([A-Z_][A-Za-z_]+|windowed)`", paragraph)
        assert [name for name in names if not re.search(rf"\b{name}\b", source)] == []


def test_every_word_of_the_domain_is_one():
    rooms = ("market", "orders", "account", "decisions", "events", "state")
    there = [import_module("qtlib.journal"), *(import_module(f"qtlib.domain.{room}") for room in rooms)]
    words = CONTRIBUTING.split("## Words")[1].split("## Laws")[0]
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", words)) - {"Decimal"}
    assert [word for word in named if not any(hasattr(room, word) for room in there)] == []
