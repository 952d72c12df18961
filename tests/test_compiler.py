"""Compiled code is kept between processes, and is never older than any source that it was made from."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qtlib import compiler

PACKAGE = Path(compiler.__file__).parent
COPIED = (
    "__init__.py",
    "compiler.py",
    "lean.py",
    "domain/__init__.py",
    "domain/market.py",
    "domain/values.py",
    "rules/__init__.py",
)
USER = """
from qtlib.compiler import compiled
from qtlib.rules import formulas, jitted

@compiled
def stop(entry):
    return formulas.level(1, entry, -0.03)

print(stop(100.0), stop.stats.cache_hits[stop.signatures[0]] if stop.stats.cache_hits else 0)
"""


@pytest.fixture
def package(tmp_path):
    """As much of the package as a compiled function needs, to be changed at will."""
    for name in (*COPIED, "rules/formulas.py", "rules/jitted.py"):
        (tmp_path / "src/qtlib" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, tmp_path / "src/qtlib" / name)
    (tmp_path / "src/qtlib/user.py").write_text(USER)
    return tmp_path / "src/qtlib"


def run(package):
    """What a process of its own prints: the stop, and how often it was read from where it is kept."""
    environment = {**os.environ, "QT_COMPILED_DIR": str(package.parent.parent / "kept")}
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(package.parent)!r}); import qtlib.user"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stderr
    stop, hits = answer.stdout.split()
    return float(stop), int(hits)


def test_compiled_code_is_kept_until_one_of_its_sources_changes(package):
    assert run(package) == (97.0, 0)
    assert run(package) == (97.0, 1)

    formulas = package / "rules/formulas.py"
    text = formulas.read_text()
    changed = text.replace(
        "return entry * (1.0 + sign * distance_frac)", "return entry * (1.0 + sign * distance_frac * 2.0)"
    )
    assert changed != text
    formulas.write_text(changed)
    assert run(package) == (94.0, 0)


def test_the_sources_of_a_file_are_all_it_imports_of_ours():
    names = {str(path.relative_to(PACKAGE)) for path in compiler.sources(PACKAGE / "rules/jitted.py")}

    assert names >= {"rules/jitted.py", "rules/formulas.py", "domain/market.py", "domain/values.py", "compiler.py"}
    assert not any(name.startswith(("engine", "report", "runs")) for name in names)


def test_a_folder_that_may_not_be_written_is_no_obstacle(monkeypatch, tmp_path):
    closed = tmp_path / "a file"
    closed.write_text("")
    monkeypatch.setenv("QT_COMPILED_DIR", str(closed))

    assert compiler.folder.__wrapped__() != closed


def test_only_the_newest_states_of_a_files_sources_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(compiler, "folder", lambda: tmp_path)
    source = tmp_path / "one.py"
    for number in range(compiler.KEPT + 3):
        source.write_text(f"number = {number}")
        place = compiler._Place(source)
        place.ensure_cache_path()
        os.utime(place.get_cache_path(), (number, number))

    assert len(list(Path(place.get_cache_path()).parent.iterdir())) == compiler.KEPT
    assert Path(place.get_cache_path()).is_dir()
