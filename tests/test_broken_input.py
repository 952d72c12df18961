"""Broken input, met as people meet it: `qt` in a process of its own, and what it says on the terminal.

Each error is one or two sentences that name the thing and what to do, with an exit code that scripts can rely on; no
traceback; and whatever was on disk before is there afterwards, byte for byte, or goes on from where it was.
"""

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import sqlite3
import subprocess
import sys

import nbformat
import pandas as pd
import psutil
import pytest
from builders import make_bars
from forked import HOME, Qt, environment
from patience import PATIENCE_S, until

from qtlib.journal import Journal

SMALL = ["-p", "data.bars=300", "-p", "universe.symbols=BTCUSDT,ETHUSDT"]
FILES = ["-p", "data.source=files", "-p", "data.bars=null", "-p", "universe.symbols=BTCUSDT"]
LONG = ["-p", "data.bars=8000", "-p", "universe.symbols=BTCUSDT,ETHUSDT"]
LIVE = ["live", *LONG]
MAIN = "from qtlib.cli import main; main()"
GOOD = make_bars(300)


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def begin(runs):
    """Begins `qt` as a process of its own, in a runs folder of its own."""
    begun = []

    def start(*words, root=runs, **given):
        begun.append(Qt(*words, root=root, **given))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()


@pytest.fixture
def qt(begin):
    """Runs it to its end."""
    return lambda *words, **given: begin(*words, **given).ended()


def refused(done, said, code=2):
    """`done` ended with `code` and a sentence or two that hold `said`, and nothing else on standard error."""
    message = done.stderr.strip()
    assert done.returncode == code, message
    assert said in message
    assert "Traceback" not in message + done.stdout
    assert "should not happen" not in message
    assert len(message.splitlines()) == 1
    assert len(message) < 500


def everything(folder):
    """What lies in a folder, byte for byte. What SQLite keeps beside a database while it is open is no part of it."""
    there = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {p.relative_to(folder): p.read_bytes() for p in there if not p.name.endswith(("-wal", "-shm"))}


def begun(root):
    return lambda: any(root.glob("*-live-*/heartbeat.json"))


def write(folder, frame, symbol="BTCUSDT"):
    """`frame` as a file of bars in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = frame.rename_axis("ts").reset_index()
    table.insert(0, "timestamp", (table.pop("ts") - pd.Timedelta("1h")).astype("datetime64[ms, UTC]"))
    file = folder / f"{symbol}-1h.parquet"
    table.to_parquet(file, index=False)
    return file


# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("limits.max_positons=3", "unknown limits.max_positons (did you mean limits.max_positions?)"),
        ("exits.sl_frac=2", "exits.sl_frac = 2 must be at most 0.2; it is a fraction of price: 2 % is 0.02"),
        ("limits.max_positions=many", "limits.max_positions = 'many' must be a valid integer"),
        ("strategy.name=tredn", "strategy.name 'tredn' must be one of trend (did you mean trend?)"),
        ("strategy.params={fsat: 3}", "unknown strategy.params.fsat (did you mean fast?); trend has fast, medium"),
        ("universe.symbols=PEPEUSDT", "-p 'venue.symbols={PEPEUSDT: {tick: 0.0001, lot: 1, min_notional: 5}}'"),
        ("data.timeframe=12h", "timeframe 12h must divide 8h"),
    ],
    ids=lambda value: value.partition("=")[0],
)
def test_a_wrong_setting_is_named_with_what_to_write(qt, runs, words, said):
    refused(qt("backtest", *SMALL, "-p", words), said)
    assert not runs.exists()  # nothing was begun


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"data:\n\tbars: 300\n", "line 2: a tab stands where YAML takes spaces only; indent with spaces"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
        (b"data:\n  bars: 100\n  bars: 200\n", "line 3: bars stands here twice"),
    ],
    ids=["missing", "tab", "no text", "twice"],
)
def test_a_settings_file_that_makes_no_sense_is_said(qt, tmp_path, content, said):
    file = tmp_path / "my.yaml"
    if content is not None:
        file.write_bytes(content)
    refused(qt("live", "--params", file), said)


def test_a_folder_is_no_settings_file(qt, tmp_path):
    refused(qt("live", "--params", tmp_path), "is a folder; name a file of settings in it")


def test_what_the_simulated_market_does_not_have_comes_from_files(qt):
    facts = "venue.symbols={PEPEUSDT: {tick: 0.0001, lot: 1, min_notional: 5}}"
    done = qt("backtest", "-p", "universe.symbols=PEPEUSDT", "-p", facts)
    refused(done, "the simulated market has no PEPEUSDT")
    assert "-p data.source=files -p data.path=FOLDER" in done.stderr


# --- bars -------------------------------------------------------------------------------------------------


def _with(row, column, value):
    frame = GOOD.copy()
    frame.iloc[row, frame.columns.get_loc(column)] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (
            pd.concat([GOOD[:100], GOOD[99:]]),
            "BTCUSDT-1h: bars that stand twice: 1, first 2026-01-05 04:00 UTC (row 100",
        ),
        (pd.concat([GOOD[100:], GOOD[:100]]), "BTCUSDT-1h: bars that stand after a later one: 1"),
        (
            _with(50, "close", float("nan")),
            "rows without a close: 1 of 300 read, the first is row 50; get the file again",
        ),
        (
            _with(50, "high", 1.0),
            "bars that break 0 < low <= open, close <= high, 0 <= volume: 1, first 2026-01-03 03:00",
        ),
        (GOOD.shift(freq="7min"), "bars that do not close on the grid of 1h: 300"),
        (GOOD.drop(GOOD.index[100:103]), "3 bars are missing, in gaps: 1, first 2026-01-05 08:00 UTC"),
    ],
    ids=["duplicate", "unsorted", "NaN", "high below low", "off the grid", "gap"],
)
def test_bars_that_must_not_be_traded_are_named_by_fault_time_and_row(qt, runs, tmp_path, frame, said):
    file = write(tmp_path / "bars", frame)
    held = file.read_bytes()
    refused(qt("backtest", *FILES, "-p", f"data.path={file.parent}"), said)
    assert file.read_bytes() == held
    assert not runs.exists()


def test_a_truncated_file_and_a_foreign_one_are_said(qt, tmp_path):
    file = write(tmp_path / "bars", GOOD)
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"ts,price\n1,2\n"):
        file.write_bytes(content)
        refused(qt("data", "check", *FILES, "-p", f"data.path={file.parent}"), "can't be read as parquet")


def test_bars_that_are_not_there_are_said_with_what_is(qt, tmp_path):
    file = write(tmp_path / "bars", GOOD)
    bars = ["-p", f"data.path={file.parent}"]
    refused(qt("live", *FILES, "-p", "data.path=nowhere"), "BTCUSDT-1h.parquet is not in nowhere")
    refused(qt("live", *FILES, *bars, "-p", "universe.symbols=BTCUSDT,ETHUSDT"), "there are BTCUSDT-1h")
    refused(
        qt("live", *FILES, *bars, "-p", "data.start=2030-01-01"), "has no bars between 2030-01-01 00:00 and the end"
    )


def test_a_gap_may_be_allowed_and_an_unlisted_symbol_described(qt, tmp_path):
    """In a folder with spaces and more than ASCII in its name, which is nobody's fault."""
    bars = write(tmp_path / "my bars · für später", GOOD.drop(GOOD.index[100:103]), "PEPEUSDT").parent
    facts = "venue.symbols={PEPEUSDT: {tick: 0.0001, lot: 1, min_notional: 5}}"
    words = ["-p", "universe.symbols=PEPEUSDT", "-p", facts, "-p", f"data.path={bars}", "-p", "data.allow_gaps=true"]
    done = qt("backtest", *FILES, *words, "--json", root=tmp_path / "meine Läufe")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["data"]["bars"]) == ("ok", 297)
    assert any("3 bars are missing" in note for note in record["data"]["notes"])


# --- the runs folder --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["live", *SMALL], ["status"], ["runs", "list"]], ids=lambda w: w[0])
def test_a_runs_folder_that_is_a_file_is_said(qt, tmp_path, words):
    (tmp_path / "file").write_text("mine")
    refused(qt(*words, root=tmp_path / "file"), "QT_RUNS_DIR")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def disk(tmp_path):
    """Mounts a small disk, of as many megabytes as asked for."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(megabytes, *options):
        how = ",".join([f"size={megabytes}m", *options])
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", folder], capture_output=True, check=False)
        if done.returncode:
            why = "no right to mount a small disk"
            pytest.fail(why) if os.environ.get("QT_REQUIRE") == "all" else pytest.skip(why)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_without_room_is_said_before_anything_begins(qt, disk):
    small = disk(4)
    refused(
        qt("live", *SMALL, root=small), "MB free, and a run may take 24 MB; make room, or name another by QT_RUNS_DIR"
    )
    assert list(small.iterdir()) == []


def test_a_disk_that_may_only_be_read_is_said(qt, disk):
    refused(qt("live", *SMALL, root=disk(4, "ro")), "cannot be written (Read-only file system)")


def test_a_disk_that_fills_up_in_a_session_costs_the_session_and_nothing_else(begin, qt, disk):
    """The record is written, journal and venue are whole, and with room the session goes on from where it was."""
    small = disk(48)
    process = begin("live", *LONG, "-p", "session.account=filled", root=small)
    until(begun(small))
    with (small / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(bytes(65_536)):
            pass
    done = process.ended()
    refused(done, "full")
    assert "make room" in done.stderr
    (folder,) = small.glob("*-live-*")
    record = json.loads((folder / "record.json").read_text())
    assert (record["status"], record["error"]["cell"]) == ("failed", 4)
    assert not (folder / ".reserve").exists()

    assert "filled" in qt("status", "-p", "session.account=filled", root=small).stdout  # to read needs no room
    (small / "ballast").unlink()
    with Journal(small / "journal" / "filled.sqlite", "filled") as journal:
        reached, known = journal.state().decided, journal.last
    again = qt("live", *SMALL, "-p", "session.account=filled", "-p", "session.max_bars=30", "--json", root=small)
    assert again.returncode == 0, again.stderr
    went_on = json.loads(again.stdout)
    assert pd.Timestamp(went_on["data"]["first"]) == reached + pd.Timedelta("1h")
    assert went_on["previous_run"] == record["run_id"]
    with Journal(small / "journal" / "filled.sqlite", "filled") as journal:
        assert journal.last > known


# --- the journal and the venue ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A runs folder with an account that has traded."""
    root = tmp_path_factory.mktemp("lived")
    done = Qt("live", *SMALL, "-p", "session.max_bars=120", root=root).ended()
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def account(lived, runs):
    """A copy of it, to break."""
    shutil.copytree(lived, runs)
    return runs


@contextlib.contextmanager
def locked(database):
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.close()


def newer(file):
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE journal_version SET version_num = '9'")


def damaged(file):
    content = bytearray(file.read_bytes())
    content[4096 : len(content) - 4096] = os.urandom(len(content) - 8192)
    file.write_bytes(content)


def foreign(file):
    file.write_text("symbol,price\n" * 1000)


@pytest.mark.parametrize(
    ("which", "broken", "said"),
    [
        ("journal", newer, "is schema 9, this qtlib knows 2: update qtlib; nothing was changed"),
        ("journal", damaged, "is damaged, or no journal"),
        ("exchange", foreign, "restore it from a backup, or begin anew with another session.account"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_database_that_cannot_be_used_is_left_as_it_is(qt, account, which, broken, said):
    broken(account / which / "main.sqlite")
    before = everything(account / which)
    refused(qt("live", *SMALL), said)
    assert everything(account / which) == before
    assert len(list(account.glob("*-live-*"))) == 1  # no folder for a run that never began


def test_a_journal_that_another_process_locks_is_said_and_free_again_after_it(qt, account):
    before = everything(account)
    with locked(account / "journal" / "main.sqlite"):
        refused(qt("live", *SMALL), "main.sqlite stayed locked for 5 s")
    assert everything(account) == before
    assert "account main: active" in qt("status").stdout


def test_a_venue_that_another_process_holds_is_said(qt, account):
    before = everything(account / "exchange")
    with locked(account / "exchange" / "main.sqlite"):
        refused(qt("live", *SMALL), "is held by another process (database is locked): end that one first")
    assert everything(account / "exchange") == before


def test_a_venue_keeps_the_conduct_it_began_with(qt, account):
    done = qt("live", *SMALL, "-p", "venue.slippage_frac=0.001")
    refused(
        done, "slippage_frac 0.0002 there, 0.001 asked; keep it, or start a new file (with another session.account)"
    )


def test_a_database_that_no_journal_can_live_in_is_said(qt):
    refused(qt("live", *SMALL, QT_DATABASE_URL="mysql://a/b"), "a journal can't live in 'mysql'")


# --- a session under way ----------------------------------------------------------------------------------


def test_a_killed_session_shows_as_died_and_the_next_one_recovers(begin, qt, runs):
    """While it lives its account is refused to others, by the holder's name; killed, it gives way within its grace."""
    first = begin("live", *LONG, "-p", "session.grace_s=0.5")
    until(begun(runs))
    (folder,) = runs.glob("*-live-*")
    second = qt("live", *LONG)
    refused(second, f"is held by '{folder.name}', process ", code=4)
    assert len(list(runs.glob("*-live-*"))) == 1

    kernels = psutil.Process(first.pid).children(recursive=True)
    for process in (first, *kernels):
        process.send_signal(signal.SIGKILL)
    assert first.ended().returncode == -signal.SIGKILL
    psutil.wait_procs(kernels, timeout=PATIENCE_S)
    (row,) = json.loads(qt("runs", "list", "--json").stdout)["runs"]
    assert (row["run"], row["status"]) == (folder.name, "died")
    with Journal(runs / "journal" / "main.sqlite") as journal:
        held = len(journal.state().account.positions)
    third = qt("live", *SMALL, "-p", "session.max_bars=30", "--json")
    assert third.returncode == 0, third.stderr
    assert third.stderr.count("♻️") >= held
    assert json.loads(third.stdout)["previous_run"] == folder.name


def test_a_terminal_that_is_closed_ends_the_session_in_order(qt, runs):
    """Nobody reads any more what is said last, and the exit code is that of the signal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); " + MAIN, *LIVE],
        **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),
        env=environment(runs),
        cwd=HOME,
        start_new_session=True,
    )
    os.close(theirs)
    until(lambda: (select.select([ours], [], [], 0)[0] and not os.read(ours, 65_536)) or begun(runs)())
    os.close(ours)
    assert process.wait(PATIENCE_S) == 129
    (row,) = json.loads(qt("runs", "list", "--json").stdout)["runs"]
    assert row["status"] == "interrupted"


def test_a_failing_cell_is_a_failed_run_with_the_cell_and_the_message(runs, tmp_path):
    """A copy of the project, with a mistake in its notebook."""
    home = tmp_path / "home"
    for name in ("qtlib", "notebooks", "params"):
        shutil.copytree(HOME / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    notebook = nbformat.read(home / "notebooks" / "backtest.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[2].source = "raise ValueError('stop 101 must lie below entry 100')"
    nbformat.write(notebook, home / "notebooks" / "backtest.ipynb")
    command = [sys.executable, "-m", "qtlib.cli", "backtest", *SMALL]
    env = environment(runs) | {"PYTHONPATH": str(home)}
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=False)
    refused(done, "cell 4 failed: ValueError: stop 101 must lie below entry 100", code=1)
    (folder,) = runs.glob("*-backtest-*")
    record = json.loads((folder / "record.json").read_text())
    assert (record["status"], record["error"]["cell"]) == ("failed", 4)
    assert record["error"]["message"] == "stop 101 must lie below entry 100"
    assert (folder / "report.html").exists()


def test_an_account_goes_on_by_the_prices_of_the_market_it_traded(qt, account):
    before = sorted(account.glob("*-live-*"))
    refused(qt("live", *SMALL, "-p", "data.seed=8"), "with seed 8 and edge 3: give the session another account")
    assert sorted(account.glob("*-live-*")) == before
