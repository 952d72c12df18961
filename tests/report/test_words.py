"""Every message there is has its Norwegian words, with the same places to fill; numbers and times follow it."""

import ast
import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from qtlib.report import names
from qtlib.report.words import LANGUAGES, catalogue, day, number, percent, say, speaking

HOME = Path(__file__).parents[2]
FILES = [*(HOME / "qtlib" / "report").rglob("*.py"), *(HOME / "qtlib" / "panel").rglob("*.py")]
FILES += [
    HOME / "qtlib" / "runs" / name
    for name in (
        *("review/postmortem.py", "review/parity_page.py", "learning/lesson.py", "learning/outcome.py"),
        *("data/bars.py", "sweep/course.py", "lately.py"),
        *("record/run.py", "sweep/shown.py"),
    )
]
REPORTS = ("live", "backtest", "retrain", "postmortem", "sweep", "parity")  # the notebooks whose words a report shows
OTHERS = [language for language in LANGUAGES if language != "en"]


def messages():
    """What is handed to `say` as it stands, what tables of names hold, and what is read beside it in a notebook."""
    found = set(names.messages())
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"
            if called and node.args and isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
    for notebook in REPORTS:
        for cell in json.loads((HOME / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown" and "aside" not in cell["metadata"].get("tags", []):
                found |= {" ".join(part.split()) for part in "".join(cell["source"]).split("\n\n")}
    return found


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_translated_and_no_translation_is_of_a_message_that_is_gone(language):
    source = files("qtlib.report").joinpath("locale", language, "LC_MESSAGES", "qtlib.po")
    with source.open("rb") as file:
        book = {m.id: m for m in read_po(file, locale=language) if m.id}
    assert sorted(messages() - book.keys()) == []
    assert sorted(book.keys() - messages()) == []
    for name, message in book.items():
        assert message.string, name
        assert set(re.findall(r"{\w+}", name)) == set(re.findall(r"{\w+}", message.string)), name


def test_numbers_and_days_are_written_as_the_language_writes_them():
    ts = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert (number(-12345.678), percent(0.5), day(ts)) == ("−12,345.68", "50.00\u00a0%", "2026-12-31")
    with speaking("nb"):
        assert (number(-12345.678), percent(0.5), day(ts)) == ("−12\u00a0345,68", "50,00\u00a0%", "31.12.2026")
        assert say("Positions") == "Posisjoner"
    assert say("Positions") == "Positions"


def test_what_has_no_translation_is_said_in_english():
    assert catalogue("nb").gettext("a message that nobody ever wrote") == "a message that nobody ever wrote"


def test_a_language_that_is_not_spoken_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="'de' must be one of en, nb"), speaking("de"):
        pass
