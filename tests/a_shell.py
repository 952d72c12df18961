"""A notebook cell by cell in a shell of this very process, as Run All does it: what it shows, and what it named."""

import json

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from qtlib.report.words import speaking


def ran(path, given):
    """(the markup of each thing that the notebook at `path` shows, its names), its parameters as `given`.

    A cell that raises fails the test. The language that it speaks is forgotten after it.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shown = []
    try:
        with speaking("en"):
            for cell in (cell for cell in cells if cell["cell_type"] == "code"):
                with capture_output() as told:
                    last = shell.run_cell("".join(cell["source"]))
                last.raise_error()
                data = [output.data for output in told.outputs]
                data += [shell.display_formatter.format(last.result)[0]] if last.result is not None else []
                shown += [_markup(each) for each in data]
                if "parameters" in cell["metadata"].get("tags", []):
                    shell.push(given)
        return shown, dict(shell.user_ns)
    finally:
        InteractiveShell.clear_instance()


def _markup(data):
    """What is shown, as a report would hold it."""
    chart = data.get("application/vnd.plotly.v1+json")
    return (
        f'<script type="application/json">{json.dumps(chart, ensure_ascii=False)}</script>'
        if chart
        else data.get("text/html", "")
    )
