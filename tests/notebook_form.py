"""The form that every notebook of the project has, and `make strip`, which gives it to one that was just run."""

import ast
import json
import sys
from pathlib import Path

MOST_CODE_CELLS = 12
KEPT = {"kernelspec", "language_info"}
TAGS = {"parameters", "aside"}  # aside: words about the code beside it, which a report leaves out
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def faults(path):
    """What is not as it should be, one sentence each."""
    book = json.loads(Path(path).read_text(encoding="utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    if book["cells"][0]["cell_type"] != "markdown":
        yield "it does not open with its question"
    if len(code) > MOST_CODE_CELLS:
        yield f"{len(code)} code cells are more than {MOST_CODE_CELLS}"
    if book["metadata"].get("kernelspec") != KERNEL or set(book["metadata"]) - KEPT:
        yield "its metadata hold more than the kernel python3"
    if any(cell["outputs"] or cell["execution_count"] for cell in code):
        yield "outputs are committed"
    if not all(cell.get("id") for cell in book["cells"]):
        yield "a cell has no id"
    for number, cell in enumerate(code, 1):
        yield from (f"code cell {number} {fault}" for fault in _faults(cell))
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", ())]
    if [code[0]] != tagged:
        yield "the first code cell, and no other, should be tagged parameters"
    elif not _only_literals(tagged[0]):
        yield "the parameters are not literals"


def stripped(book):
    """`book` without anything that running it left behind."""
    book["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in book["cells"]:
        tags = [tag for tag in cell["metadata"].get("tags", []) if tag in TAGS]
        cell["metadata"] = {"tags": tags} if tags else {}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return book


def _faults(cell):
    tree = ast.parse("".join(cell["source"]))
    if any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) for node in ast.walk(tree)):
        yield "defines what belongs into qtlib"
    if any(isinstance(node, ast.Await) for node in ast.walk(tree)):
        yield "awaits, and an await skips what should be done at the end"
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if calls & {"print", "widgets.Output", "Output", "get_ipython"}:
        yield "prints; what is worth reading is displayed once, or logged"


def _only_literals(cell):
    statements = ast.parse("".join(cell["source"])).body
    return all(isinstance(s, ast.Assign) and _literal(s.value) for s in statements)


def _literal(node):
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        book = stripped(json.loads(path.read_text(encoding="utf-8")))
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
