"""What an executed notebook showed, as markup: its words, and the richest form of each output that a page can hold.

Code is left out, and so is what only a browser's kernel could fill: a widget is shown as the words that stand for it.
"""

import re
from html import escape
from typing import Any

import mistune
from nbformat import NotebookNode

FORMS = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/plain")  # the first there is
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # a terminal's, which suit one background only
_words = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"])


def markup(notebook: NotebookNode) -> str:
    """The cells of `notebook` in their order, each that showed something in a part of its own."""
    parts = (_words_of(cell) if cell.cell_type == "markdown" else _outputs(cell) for cell in notebook.cells)
    return "\n".join(f'<div class="qt-cell">\n{part}\n</div>' for part in parts if part)


def _words_of(cell: NotebookNode) -> str:
    return str(_words(cell.source)).strip()


def _outputs(cell: NotebookNode) -> str:
    return "\n".join(shown for output in cell.get("outputs", []) if (shown := _shown(output)))


def _shown(output: NotebookNode) -> str:
    """An output as a page shows it; empty, if it can't."""
    if output.output_type == "stream":
        return _plain(output.text)
    if output.output_type == "error":
        return _plain("\n".join(output.traceback))
    form = next((form for form in FORMS if form in output.get("data", {})), None)
    return "" if form is None else _as(form, output.data[form])


def _as(form: str, data: Any) -> str:
    text = "".join(data)
    if form == "text/plain":
        return _plain(text)
    if form == "text/markdown":
        return str(_words(text))
    return f'<img alt="" src="data:{form};base64,{text.strip()}">' if form in ("image/png", "image/jpeg") else text


def _plain(text: str) -> str:
    return f"<pre>{escape(_COLOURS.sub('', text), quote=False)}</pre>"
