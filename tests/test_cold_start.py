"""What a command waits for before it begins: a process loads what it uses."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("imported", "without"),
    [
        (
            "qtlib.runs.execution.runner, qtlib.report.page",
            ("rfc3987_syntax.syntax_helpers", "lark", "ccxt", "sklearn", "numba"),
        ),
        ("qtlib.runs.session.exchange", ("ccxt", "sklearn", "papermill", "plotly", "numba")),
        ("qtlib.runs.execution.segment", ("pandas", "nbconvert", "ccxt", "sklearn", "numba")),
        ("qtlib.runs.session.live", ("sklearn", "papermill", "plotly", "nbformat", "numba")),
        ("qtlib.cli", ("pandas", "numpy", "papermill", "ccxt", "sqlalchemy")),
        ("qtlib.runs.backtested, qtlib.engine.compiled.kernel", ("polars", "scipy.linalg", "sklearn", "papermill")),
        ("qtlib", ("numpy",)),
    ],
)
def test_a_process_loads_what_it_uses_and_nothing_that_takes_a_second(imported, without):
    asked = f"import sys, {imported}; print(*(name for name in {without!r} if sys.modules.get(name)))"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == ""
