"""An executed notebook as a run leaves it, without running one."""

import json

from made_journal import made_journal
from nbformat import v4, write

from qtlib.report import blocks, charts, page
from qtlib.report.metrics import metrics
from qtlib.report.tables import bars, tables


def a_notebook(path, *extra, bars_n=400):
    """Every chart and every table of a run of `bars_n` hours, then the cells `extra`; its number of charts."""
    journal = made_journal(bars_n)
    made, seen = tables(journal), bars(journal)
    shown = [blocks.headline(metrics(made)), charts.price(made, seen["BTCUSDT"], "BTCUSDT"), blocks.trades_table(made)]
    shown += [charts.equity(made), blocks.periods_table(made)]
    shown += [charts.exposure(made, 800.0, 4), blocks.limits_table(made, 800.0, 4)]
    for by in ("symbol", "exit_reason", "hour"):
        shown += [charts.pnl_by(made, by), blocks.pnl_table(made, by)]
    shown.append(blocks.refusals_table(made))
    cells = [v4.new_markdown_cell("## A run"), *map(a_cell, shown), *extra]
    write(v4.new_notebook(cells=cells), path)
    return sum(not isinstance(thing, str) for thing in shown)


def a_cell(thing):
    """A cell whose source is a secret of the author, showing `thing`."""
    data = {"text/plain": "plain words"}
    if isinstance(thing, str):
        data["text/html"] = thing._repr_html_()
    else:
        data[page.PLOTLY] = json.loads(thing.to_json())
    return v4.new_code_cell("the_source_of_a_cell()", outputs=[v4.new_output("display_data", data=data)])


def a_failure(message="stop 95 must lie below entry 90", number=4):
    error = v4.new_output("error", ename="ValueError", evalue=message, traceback=["Traceback: here"])
    return v4.new_code_cell("boom()", execution_count=number, outputs=[error])
