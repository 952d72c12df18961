"""A real session whose steps can be struck: `python struck_session.py ROOT SETTING…`, in place of `qt live`.

The same supervisor, runner, kernel and venue, and the notebook of the project with one line more (see `strike`) and
without its pictures. It is started again at once and as often as it takes.
"""

import sys
from pathlib import Path

import nbformat

from qtlib.params import resolve
from qtlib.runs.execution.policy import Restarts
from qtlib.runs.execution.supervisor import supervise
from qtlib.runs.record.folder import HOME

WIRED, KEPT = "moments = live.moments(", "figures = live.keep("
PICTURES = "import blocks, charts"
LINE = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom strike import struck\n"
LINE += "exchange, journal = struck(run.folder.root, exchange, journal)\n"


def notebook(path: Path) -> Path:
    """`notebooks/live.ipynb` with that line, up to where its figures are kept, at `path`."""
    cells, kept = [], []
    book = nbformat.read(HOME / "notebooks" / "live.ipynb", as_version=4)
    for cell in book.cells:
        cells.append(cell)
        if WIRED in cell.source and PICTURES in cell.source:
            cell.source = cell.source.replace(WIRED, LINE + WIRED).replace(PICTURES, "import blocks")
            kept.append(WIRED)
        if KEPT in cell.source:
            kept.append(KEPT)
            break
    assert kept == [WIRED, KEPT], f"the live notebook is wired otherwise than it was: {kept}"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=book.metadata), path)
    return path


def main() -> None:
    root = Path(sys.argv[1])
    resolved = resolve(HOME / "params" / "sim.yaml", sys.argv[2:])
    restarts = Restarts(first_s=0.01, longest_s=0.05, most=1_000)
    outcome = supervise(
        notebook(root / "struck.ipynb"),
        resolved,
        root=root,
        venue=True,
        restarts=restarts,
        on_line=lambda line: print(line.get("level", ""), line.get("msg", ""), flush=True),
    )
    sys.exit(outcome.exit_code)


if __name__ == "__main__":
    main()
