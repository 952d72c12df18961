"""Who may import whom. The table is the architecture; a new arrow is a change to this table."""

import ast
from pathlib import Path

import pytest

MAY_IMPORT = {
    "domain": set(),
    "compiler": {"lean"},
    "durable": set(),
    "lean": set(),
    "rules": {"domain", "compiler"},  # the compiler's decorator, where a formula is made known to compiled code
    "exchanges": {"domain", "rules.formulas"},  # an exchange computes fills and margin, and never decides
    "market": {"domain", "durable"},  # a part on disk is whole or not there
    "journal": {"domain"},
    "learning": {"domain", "rules", "market", "compiler", "durable", "lean"},  # a model on disk is whole or not there
    "engine": {"domain", "rules", "exchanges", "journal", "compiler"},
    "report": {"domain", "journal", "lean"},
    "panel": {"domain", "rules", "journal", "report"},  # rules: what is shown is reckoned as it is decided
    "params": {"rules", "learning", "exchanges"},
    "runs": {
        *("domain", "rules", "exchanges", "market", "journal", "learning", "engine", "report", "params"),
        *("durable", "lean"),
        "compiler",  # its hash of all code that a trial is made by
        "panel.desk",  # what the panel needs of the machine it runs on
    },
    "cli": {
        "lean",
        "domain",
        "compiler",
        "durable",
        "rules",
        "exchanges",
        "market",
        "journal",
        "learning",
        "engine",
        "report",
        "panel",
        "params",
        "runs",
    },
    "__init__": set(),
}
FLOORS_OF_RUNS = (  # its rooms, from the bottom: each takes from those below it and from nobody else
    {"record"},
    {"believing", "alerting", "data"},
    {""},  # the files that lie in no room
    {"session", "review", "sweep"},
    {"execution", "learning", "checks"},
    {"clock"},
)
PURE = ("domain", "rules")  # no clock, no dice, no disk, no network
STANDARD_LIBRARY_ONLY = ("domain",)
BORROWED = {
    Path("domain/naming.py"): {"numpy"},  # orders are named by the ten thousand, in a table of trades
    Path("domain/panel.py"): {"numpy"},  # what bars and signals are one by one, in columns: it may hold arrays
    Path("domain/values.py"): {"msgspec"},  # values are made by the million, and in C in a quarter of the time
}
IMPURE_MODULES = {"time", "random", "os", "pathlib", "sqlite3", "requests", "ccxt", "logging", "threading", "asyncio"}
WHICH_WORLD = {"is_live", "is_backtest", "dry_run", "backtest", "live"}  # names that pure code has no use for

ROOT = Path(__file__).parent.parent / "qtlib"
FILES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py"))


def tree(path):
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imports(node):
    for n in ast.walk(node):
        if isinstance(n, ast.Import):
            yield from (alias.name for alias in n.names)
        elif isinstance(n, ast.ImportFrom):
            assert n.level == 0, "imports are absolute"
            yield from (f"{n.module}.{alias.name}" for alias in n.names)


def allowed(name, room):
    inside = name.removeprefix("qtlib.")
    return any(inside == a or inside.startswith(a + ".") for a in MAY_IMPORT[room] | {room})


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    room = path.parts[0].removesuffix(".py")
    astray = [name for name in imports(tree(path)) if name.startswith("qtlib.") and not allowed(name, room)]
    assert astray == []


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "runs"], ids=str)
def test_rooms_of_runs_take_from_the_floors_below(path):
    floors = {room: floor for floor, rooms in enumerate(FLOORS_OF_RUNS) for room in rooms}
    own = path.parts[1] if len(path.parts) > 2 else ""
    for name in imports(tree(path)):
        if name.startswith("qtlib.runs."):
            first = name.split(".")[2]
            other = first if (ROOT / "runs" / first).is_dir() else ""
            assert other == own or floors[other] < floors[own], name


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] in PURE], ids=str)
def test_the_core_is_pure(path):
    assert not IMPURE_MODULES & {name.split(".")[0] for name in imports(tree(path))}
    calls = {ast.unparse(n.func) for n in ast.walk(tree(path)) if isinstance(n, ast.Call)}
    assert not {c for c in calls if c in ("print", "open") or c.endswith((".now", ".utcnow", ".today"))}
    assert not WHICH_WORLD & {n.id for n in ast.walk(tree(path)) if isinstance(n, ast.Name)}


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] in STANDARD_LIBRARY_ONLY], ids=str)
def test_the_domain_needs_nothing_but_python(path):
    import sys

    outside = {name.split(".")[0] for name in imports(tree(path))} - {"qtlib"} - sys.stdlib_module_names
    assert outside == BORROWED.get(path, set())


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_stand_at_the_top_or_say_what_they_save(path):
    """An import inside a function is paid for at its first call; the line above it says why that is better."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    said_for_all = "cold start" in "\n".join(lines[:15])
    for function in ast.walk(tree(path)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            late = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
            for n in late:
                reasons = "\n".join(lines[function.lineno - 1 : n.lineno])
                assert said_for_all or "cold start" in reasons, f"{path}:{n.lineno}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_opens_with_what_it_is(path):
    assert ast.get_docstring(tree(path))
