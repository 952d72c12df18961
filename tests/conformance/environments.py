"""Environments of their own for clients that others wrote: pinned, made once by `uv`, kept in a temporary folder."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

KEPT = Path(tempfile.gettempdir()) / "qt-conformance"


def interpreter_with(*packages):
    """A Python that has `packages`; without the means to install them the test is skipped, or fails (QT_REQUIRE=all).

    What is written `name~` may be of any version, whatever the others ask for: it plays no part on loopback.
    """
    found = hashlib.sha256(repr((sys.version, packages)).encode()).hexdigest()[:12]
    folder = KEPT / f"{packages[0].split('=')[0]}-{found}"
    if not folder.exists():
        _make(folder, [p for p in packages if not p.endswith("~")], [p[:-1] for p in packages if p.endswith("~")])
    return folder / "bin" / "python"


def _make(folder, packages, overridden):
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        _absent("uv is not installed")
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT) as scratch:
        made, overrides = Path(scratch) / "made", Path(scratch) / "overrides.txt"
        overrides.write_text("\n".join(overridden))
        steps = [
            [uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, made],
            [uv, "pip", "install", "--quiet", "--python", made / "bin" / "python", "--overrides", overrides, *packages],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                _absent(f"{', '.join(packages)} cannot be installed: {' '.join(done.stderr.split())[:300]}")
        made.rename(folder)


def _absent(what):
    if os.environ.get("QT_REQUIRE") == "all":
        pytest.fail(f"{what}, and QT_REQUIRE=all")
    pytest.skip(what)
