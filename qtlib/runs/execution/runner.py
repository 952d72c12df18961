"""Runs a notebook through papermill so that every end is an orderly, recorded end.

Papermill records well and supervises badly: SIGTERM kills it without a word, a hung kernel is never noticed, and a
killed notebook is saved as completed. Here a signal becomes a request to stop, with a grace; the kernel is a child of
this interpreter, whatever the notebook was saved with, and is watched by its heartbeat; files are written whole; and
the record, not the notebook, says how it ended:

    ok (0) · failed (1, or 2: input that cannot be used) · refused (3, or 4: another session)
    interrupted (128 and the signal's number)
"""

from qtlib.lean import without  # noqa: I001  before papermill

import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

with without("pyarrow"):  # papermill's, for notebooks on Hadoop
    import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import LocalHandler, papermill_io
from traitlets.config import Config

from qtlib.params import Resolved
from qtlib.runs.execution.kernel import Waiting, without_keys
from qtlib.runs.execution.watch import Line, Watch, hearing
from qtlib.runs.record import atomic
from qtlib.runs.record.ends import NO_ROOM, Outcome, end_of, sentence
from qtlib.runs.record.folder import FAILED, INTERRUPTED, OK, RunFolder, RunsError, final_record, unwritable
from qtlib.runs.record.guard import ALIVE
from qtlib.runs.record.log import Log
from qtlib.runs.record.run import open_folder
from qtlib.runs.record.secrecy import know_keys

MAX_OUTPUTS, MAX_OUTPUT_BYTES = 200, 2_000_000  # of one cell: what comes after is counted, not kept
LOADING_S = (
    300.0  # a kernel loads its rooms before it answers, which a cold disk can make long; a death is seen at once
)
SAVING_FRAC = 0.05  # of the time that a notebook runs

Export = Callable[..., object]  # (notebook, page, *, title, lang, banner): a notebook made a page to read


def run_notebook(
    kind: str,
    notebook: Path,
    resolved: Resolved,
    *,
    export: Export,
    kernel: Waiting | None = None,
    root: Path | None = None,
    on_start: Callable[[RunFolder], None] = lambda folder: None,
    on_line: Line = lambda line: None,
    on_beat: Line = lambda beat: None,
) -> Outcome:
    """Execute `notebook` with these settings in a new run folder, to whatever end, and say how it ended.

    `export` makes the page of it, also of one that failed; `kernel` is begun for it, if one waits already. `on_start`
    is told the folder, `on_line` each line of the run's log, and `on_beat` each sign of life, while it runs.
    """
    if not notebook.is_file():
        raise FileNotFoundError(f"{notebook} does not exist: {kind} is a notebook of that name in {notebook.parent}")
    heard: list[int] = []
    with hearing(lambda number, frame: heard.append(number)):  # from the first to the last file: none must be torn
        folder = open_folder(kind, resolved, datetime.now(UTC), root)
        try:
            atomic.reserve(folder.path)
        except OSError as e:
            raise RunsError(unwritable(folder.root, e)) from e
        know_keys(resolved.params.mode)
        record = folder.record()
        session = resolved.params.session
        watch = Watch(folder, session.hung_after_s, session.grace_s, _kill_kernel, on_line, on_beat)
        with hearing(watch.hear):
            for number in heard:
                watch.hear(number)
            on_start(folder)
            with watch:
                caught = _execute(notebook, folder, resolved, watch, kernel)
            return _concluded(folder, record, resolved, export, watch, caught)


def _concluded(
    folder: RunFolder,
    record: Mapping[str, Any],
    resolved: Resolved,
    export: Export,
    watch: Watch,
    caught: BaseException | None,
) -> Outcome:
    """What is left to write once the notebook has ended: report, log, and the record last."""
    error = atomic.read_json(folder / "error.json")
    status, code, trouble = _end(folder, caught, error, watch)
    trouble, status, code = _report(folder, resolved, export, status, code, trouble)
    if status != OK:
        _banner(folder, status, trouble)
    atomic.release(folder.path)
    with suppress(OSError):  # a full disk: the exit code and the terminal say it all the same
        log = Log(folder / "log.jsonl")
        log.write("info" if status == OK else "error", sentence(status, trouble), ended=status)
        log.close()
    leaked = atomic.scrub(folder.path)
    if leaked or _Handler.leaked:
        files = ", ".join(leaked or ["notebook.ipynb"])
        trouble = _trouble("SecretFound", f"a secret stood in {files}: it was taken out; change that key now")
        status, code = FAILED, 1
    told = atomic.read_json(folder / "result.json") or {}
    final = final_record(folder, record, datetime.now(UTC), status, told, trouble)
    folder.write_record(final)
    raised = trouble is None or "traceback" in trouble  # else the kernel's own words may say more
    passing = ["result.json", "error.json", "heartbeat.json", ALIVE, "stop"]
    for name in (*passing, *(["kernel.log"] if raised else [])):
        (folder / name).unlink(missing_ok=True)
    return Outcome(folder, final, code)


# --- papermill, held by the hand --------------------------------------------------------------------------


class _Kernels(AsyncKernelManager):
    """Begins the kernel that waits, of this interpreter, whatever kernelspec the notebook names."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = ["-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python", metadata={"debugger": False})

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        begun: Any = self.provisioner
        begun.process = _Engine.waiting.begin(kernel_cmd, kw["env"], _Engine.kernel_log)
        begun.pid = begun.pgid = begun.process.pid
        self._reconcile_connection_info(begun.connection_info)


class _Client(PapermillNotebookClient):  # type: ignore[misc]  # untyped base
    """Keeps a bounded part of what a cell prints: a flood fails no run, and fills no disk."""

    dropped: int = 0
    _cell: int = -1
    _outputs: int = 0
    _bytes: int = 0

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        if cell_index != self._cell:
            self._cell, self._outputs, self._bytes = cell_index, 0, 0
        self._outputs += 1
        self._bytes += len(str(msg["content"].get("text", "")))  # charts are large and few: they count as one output
        kept = msg["msg_type"] == "error" or (self._outputs <= MAX_OUTPUTS and self._bytes <= MAX_OUTPUT_BYTES)
        if kept:
            return super().output(outs, msg, display_id, cell_index)
        self.dropped += 1
        return None


class _Copy(NotebookExecutionManager):  # type: ignore[misc]  # untyped base
    """Saves the notebook as cells begin and end, where that takes no more than its share of the time.

    With its charts a copy takes a tenth of a second, and papermill saves twice a cell, headings included.
    """

    _not_before: float = 0.0

    def save(self, **kwargs: Any) -> None:
        begun = monotonic()
        if begun >= self._not_before:
            super().save(**kwargs)
            now = monotonic()
            self._not_before = now + (now - begun) / SAVING_FRAC

    def notebook_complete(self, **kwargs: Any) -> None:
        self._not_before = 0.0  # the last word is always written
        super().notebook_complete(**kwargs)


class _Engine(NBClientEngine):  # type: ignore[misc]  # untyped base
    """One client at a time, within reach of the watch."""

    client: _Client | None = None
    waiting: Waiting  # these are set for each run
    env: Mapping[str, str] = {}
    kernel_log: Path

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: Any = None, **given: Any) -> Any:
        copy = _Copy(nb, output_path, progress_bar=False, autosave_cell_every=given["autosave_cell_every"])
        copy.notebook_start()
        try:
            cls.execute_managed_notebook(copy, kernel_name, **given)
        finally:
            copy.notebook_complete()
        return copy.nb

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **given: Any) -> Any:
        with TemporaryDirectory(prefix="qt-") as sockets:
            cls.client = _Client(
                nb_man,
                kernel_name=kernel_name,
                kernel_manager_class=_Kernels,
                config=_transport(Path(sockets)),
                startup_timeout=LOADING_S,
                timeout=None,
                iopub_timeout=60,
                raise_on_iopub_timeout=False,  # lost display messages are no failed run
                extra_arguments=["--IPKernelApp.exec_lines=from qtlib.runs.record.guard import arm; arm()"],
                log=logging.getLogger("papermill"),
            )
            # independent: the guard, not ipykernel's os._exit, ends an orphan
            return cls.client.execute(independent=True, env=dict(cls.env))


def _transport(folder: Path) -> Config:
    """Sockets in a folder of ours rather than open ports, where the system has them and the path is short enough."""
    config = Config()
    if os.name == "posix" and len(str(folder)) < 80:
        config.KernelManager.transport = "ipc"
        config.KernelManager.ip = str(folder / "kernel-ipc")
        config.KernelManager.connection_file = str(folder / "kernel.json")
    return config


class _Handler(LocalHandler):  # type: ignore[misc]  # untyped base
    """Writes notebooks whole, and without secrets."""

    leaked = False

    def write(self, buf: str, path: str) -> None:
        _Handler.leaked |= atomic.write_text(Path(path), buf)


papermill_engines.register("qt", _Engine)
papermill_io.register("/", _Handler())  # absolute paths: "local" cannot be replaced, the first one registered stays


def _execute(
    notebook: Path, folder: RunFolder, resolved: Resolved, watch: Watch, waiting: Waiting | None
) -> BaseException | None:
    """Run every cell; what papermill raised, where it did."""
    _Handler.leaked, _Engine.client = False, None
    _Engine.env, _Engine.kernel_log = _kernel_environment(folder, resolved), folder.path.absolute() / "kernel.log"
    if watch.signals:
        return None
    _Engine.waiting = waiting or Waiting(notebook, _Engine.env)
    try:
        papermill.execute_notebook(
            str(notebook.absolute()),
            str(folder.path.absolute() / "notebook.ipynb"),
            {"run_dir": str(folder.path.absolute()), "params": resolved.params.plain()},
            engine_name="qt",
            kernel_name="python3",
            progress_bar=False,
            autosave_cell_every=300,
        )
    except Exception as e:
        return e
    finally:
        _Engine.waiting.let_go()
    return None


def _kernel_environment(folder: RunFolder, resolved: Resolved) -> dict[str, str]:
    """Ours, with what the guard needs; without what it has no use for, and without keys, where no key may be used."""
    env = without_keys(os.environ)
    if resolved.params.mode in ("demo", "live"):
        env |= {name: value for name, value in os.environ.items() if name.startswith("QT_API_")}
    grace = f"{resolved.params.session.grace_s:g}"
    return env | {"QT_RUNNER_PID": str(os.getpid()), "QT_RUN_DIR": str(folder.path.absolute()), "QT_RUN_GRACE_S": grace}


def _kill_kernel() -> bool:
    """End the kernel now, whatever it does; whether there was one."""
    manager = _Engine.client.km if _Engine.client else None
    pid = getattr(getattr(manager, "provisioner", None), "pid", None)
    if not pid:
        return False
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # a kernel leads a session of its own
    return True


# --- how it ended -----------------------------------------------------------------------------------------


def _end(
    folder: RunFolder, caught: BaseException | None, told: Mapping[str, Any] | None, watch: Watch
) -> tuple[str, int, dict[str, Any] | None]:
    """Status, exit code and error, from what papermill raised, the guard wrote and the watch did."""
    asked = (INTERRUPTED, 128 + watch.signals[0]) if watch.signals else None
    if watch.killed and asked and not watch.beaten:
        return (*asked, None)  # nothing had begun
    if watch.killed:
        return FAILED, 1, _trouble("Killed", watch.killed, _running_cell(folder))
    if isinstance(caught, PapermillExecutionError):
        return _raised(folder, caught, told or {}, asked)
    if isinstance(caught, DeadKernelError):
        return FAILED, 1, _trouble("DeadKernel", f"the kernel died{_last_words(folder)}", _running_cell(folder))
    if isinstance(caught, OSError) and caught.errno in NO_ROOM:
        return FAILED, 2, _trouble("RunsError", unwritable(folder.root, caught))
    if caught is not None:
        return FAILED, 1, _trouble(type(caught).__name__, _first_line(str(caught)), _running_cell(folder))
    if asked:
        return (*asked, None)
    skipped = _cells_not_run(folder)
    if skipped:
        return FAILED, 1, _trouble("EndedEarly", f"the notebook ended before {skipped} of its cells had run")
    return OK, 0, None


def _raised(
    folder: RunFolder, caught: PapermillExecutionError, told: Mapping[str, Any], asked: tuple[str, int] | None
) -> tuple[str, int, dict[str, Any] | None]:
    kinds = told.get("kinds") or [caught.ename]
    message = told.get("message") or caught.evalue or caught.ename
    if told.get("errno") in NO_ROOM:
        message = unwritable(folder.root, OSError(told["errno"], message))
    trouble = _trouble(caught.ename, message, caught.exec_count, told.get("traceback") or "\n".join(caught.traceback))
    if asked and "KeyboardInterrupt" in kinds:
        return (*asked, None)
    status, code = end_of(kinds, told.get("errno"))
    return status, code, trouble


def _trouble(kind: str, message: str, cell: int | None = None, trace: str = "") -> dict[str, Any]:
    clean = {"type": kind, "message": atomic.redact(message), "cell": cell}
    return clean | ({"traceback": atomic.redact(trace)} if trace else {})


def _report(
    folder: RunFolder, resolved: Resolved, export: Export, status: str, code: int, trouble: dict[str, Any] | None
) -> tuple[dict[str, Any] | None, str, int]:
    """The page, also of a run that failed; a run without its page is not done."""
    notebook = folder / "notebook.ipynb"
    if not notebook.exists():
        return trouble, status, code
    given = resolved.params.report
    told = status == OK or "traceback" in (trouble or {})  # the page itself says which cell raised what
    banner = None if told else sentence(status, trouble)
    try:
        export(notebook, folder / "report.html", title=given.title or "", lang=given.language, banner=banner)
    except Exception as e:
        full = isinstance(e, OSError) and e.errno in NO_ROOM
        why = unwritable(folder.root, e) if isinstance(e, OSError) and full else _first_line(str(e))
        failed = trouble or _trouble("ReportFailed", f"the report could not be written: {why}")
        return failed, FAILED if status == OK else status, code or (2 if full else 1)
    return trouble, status, code


def _banner(folder: RunFolder, status: str, trouble: Mapping[str, Any] | None) -> None:
    """The copy says on its first line how it ended: papermill marks cells as completed that never ran."""
    copy = atomic.read_json(folder / "notebook.ipynb")
    if copy is None:
        return
    cells = [c for c in copy["cells"] if "papermill-error-cell-tag" not in c["metadata"].get("tags", [])]
    words = f"**{status}**: {sentence(status, trouble)}"
    cell = {"cell_type": "markdown", "id": "how-it-ended", "metadata": {"tags": ["how-it-ended"]}, "source": words}
    with suppress(OSError):  # a full disk: the record says it all the same
        atomic.write_text(
            folder / "notebook.ipynb", json.dumps(copy | {"cells": [cell, *cells]}, indent=1, ensure_ascii=False) + "\n"
        )


def _code_cells(folder: RunFolder) -> list[Any]:
    cells = (atomic.read_json(folder / "notebook.ipynb") or {}).get("cells", [])
    return [c for c in cells if c["cell_type"] == "code" and "".join(c["source"]).strip()]


def _cells_not_run(folder: RunFolder) -> int:
    return sum(cell["execution_count"] is None for cell in _code_cells(folder))


def _running_cell(folder: RunFolder) -> int | None:
    """The number of the cell that ran last: the one in which it happened."""
    counts = [c["execution_count"] for c in _code_cells(folder) if c["execution_count"]]
    return max(counts, default=None)


def _last_words(folder: RunFolder) -> str:
    try:
        lines = (folder / "kernel.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return " (killed from outside, or out of memory)"
    return f"; its last words: {lines[-1][:200]}" if lines else ""


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), text)[:500]
