"""A kernel that loads before it is asked for: it gets ready while its runner still does.

    python -m qtlib.runs.execution.kernel NOTEBOOK

It imports what the notebook's cells will import, waits for one line on standard input, and is an ordinary ipykernel
from then on: of that line's arguments, environment and error file. Without a line it ends. What cannot be imported is
left to the cell that asks for it, which says so where it is read.
"""

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

GUARD = "from qtlib.runs.record import guard"  # what stands guard in every kernel


class Waiting:
    """A kernel to be, as its runner sees it."""

    def __init__(self, notebook: Path, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(notebook)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            start_new_session=True,  # a kernel leads a session of its own
        )

    def begin(self, arguments: list[str], env: Mapping[str, str], errors: Path) -> "subprocess.Popen[bytes]":
        """Have it be the kernel of these arguments; the process, which is the caller's from now on."""
        assert self._process.stdin is not None  # it was asked for above
        line = json.dumps({"arguments": arguments, "env": dict(env), "errors": str(errors)})
        with suppress(BrokenPipeError):  # it died while it loaded: that is seen like any other death
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        return self._process

    def let_go(self) -> None:
        """See that it is gone."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdin is not None  # as above
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(self, *exc: object) -> None:
        self.let_go()


def without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a kernel that has no use for keys, nor for where people are alerted."""
    return {name: value for name, value in environ.items() if not name.startswith(("QT_API_", "QT_ALERT_"))}


def imports(notebook: Path) -> Iterator[str]:
    """What the cells of `notebook` import of ours, a statement each."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        for statement in ast.parse("".join(cell["source"])).body:
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("qtlib"):
                yield ast.unparse(statement)


def main() -> None:
    """Load, wait for the word, and be a kernel."""
    for statement in ("import ipykernel.kernelapp", GUARD, *imports(Path(sys.argv[1]))):
        with suppress(Exception):
            exec(statement, {})
    line = sys.stdin.readline()
    if not line:
        return
    told = json.loads(line)
    os.environ.clear()
    os.environ.update(told["env"])
    _be(sys.stdin.fileno(), os.open(os.devnull, os.O_RDONLY))
    _be(sys.stderr.fileno(), os.open(told["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
    sys.argv = ["ipykernel_launcher", *told["arguments"]]

    from ipykernel.kernelapp import launch_new_instance  # noqa: PLC0415  a cold start: loaded above, as far as it could be

    launch_new_instance()


def _be(number: int, opened: int) -> None:
    """Let the file that was `opened` be the one of that `number`."""
    os.dup2(opened, number)
    os.close(opened)


if __name__ == "__main__":
    main()
