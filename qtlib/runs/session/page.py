"""How the control panel is served as a page of its own: Voilà, on loopback, behind a token, its kernels looked after.

Whoever opens the page may command the session, so it asks for a token that only who started it knows. A kernel of a
page that was closed ends within a minute or so, and one is warm before the first page is opened. No other machine is
asked.
"""

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qtlib.runs.record.folder import HOME, runs_root
from qtlib.runs.session.desk import PANEL

NOTEBOOK = HOME / "notebooks" / "control_panel.ipynb"
CULL_S = 60  # after its page was closed; a page that a busy machine is still drawing is not there yet, either
PATIENCE_S = 300  # for a kernel of a busy machine: what it shows after that would be missing from the page


def served(port: int, token: str | None = None) -> tuple[str, list[str]]:
    """Where the page will be, and the command that serves it."""
    token = token or secrets.token_hex(16)
    words = [sys.executable, "-m", "voila", str(NOTEBOOK), "--no-browser", f"--port={port}", "--Voila.port_retries=0"]
    words += ["--Voila.ip=127.0.0.1", f"--token={token}", "--template=qt", "--theme=light"]
    words += ["--preheat_kernel=True", "--pool_size=1"]
    words += [f"--MappingKernelManager.cull_idle_timeout={CULL_S}", "--MappingKernelManager.cull_interval=5"]
    words += ["--MappingKernelManager.cull_connected=False"]
    words += [f"--VoilaExecutor.{wait}_timeout={PATIENCE_S}" for wait in ("startup", "iopub")]
    return f"http://127.0.0.1:{port}/?token={token}", words


def environment(params: Path | None, overrides: Sequence[str]) -> Mapping[str, str]:
    """What the page's kernel is told: whose session, and where our page's frame lies."""
    templates = str(HOME / "qtlib" / "panel" / "assets" / "jupyter")
    paths = os.pathsep.join([templates, *filter(None, [os.environ.get("JUPYTER_PATH")])])
    told = json.dumps({"params": str(params) if params else "", "overrides": list(overrides)})
    return {**os.environ, "JUPYTER_PATH": paths, PANEL: told, "QT_RUNS_DIR": str(runs_root())}
