"""`qt models`: the registry. A session that runs hears of a new champion at its next bar."""
# ruff: noqa: PLC0415  measured cold start: the docstring of the package says why

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtlib.cli.app import AsJson, Debug, models
from qtlib.cli.saying import respond, table

if TYPE_CHECKING:
    from rich.console import Console

Name = Annotated[str, typer.Argument(help="Its version, a part that no other has, latest, or champion.")]
Why = Annotated[str, typer.Option(help="The reason, for the history.")]


@models.command("list", epilog="Example: qt models list")
def models_list(as_json: AsJson = False, debug: Debug = False) -> None:
    """Every model, oldest first: which is champion, what the gate said, and whether its files are whole."""
    from qtlib.learning import registry
    from qtlib.learning.bundle import BadBundle

    root = _root()
    rows: list[dict[str, Any]] = []
    for shelf in registry.shelves(root):
        for version in registry.versions(shelf):
            row: dict[str, Any] = {"version": version, "shelf": shelf.name if shelf != root else ""}
            try:
                shown = registry.show(shelf, version)
                row |= {"champion": shown.champion, "gate": shown.verdict, "rows": shown.card.rows, "whole": True}
            except BadBundle as broken:
                row |= {"champion": None, "gate": str(broken), "rows": None, "whole": False}
            rows.append(row)
    respond({"folder": str(root), "models": rows}, as_json, lambda out: table(out, str(root), rows))


@models.command("show", epilog="Example: qt models show latest")
def models_show(model: Name = "latest", as_json: AsJson = False, debug: Debug = False) -> None:
    """A model's card: what was learned from what, how good it is, what the gate said; and its shelf's champions."""
    from dataclasses import asdict

    from qtlib.learning import registry

    shelf, version = registry.find(_root(), model)
    shown, changes = registry.show(shelf, version), registry.history(shelf)

    def show(out: "Console") -> None:
        rows = [{"what": name, "is": words} for name, words in {"version": version, **shown.facts()}.items()]
        table(out, str(shelf / version), rows)
        table(
            out, "champions", [{"at": c.at, "version": c.version or "none", "by": c.who, "why": c.why} for c in changes]
        )

    answer = {
        "version": version,
        "folder": str(shelf / version),
        "content_hash": shown.content_hash,
        "champion": shown.champion,
        "card": shown.card.row(),
        "ruling": shown.ruling,
        "history": [asdict(change) for change in changes],
    }
    respond(answer, as_json, show)


@models.command("promote", epilog='Example: qt models promote latest --why "the gate asked, and I say yes"')
def models_promote(
    model: Name,
    why: Why = "by hand",
    unjudged: Annotated[bool, typer.Option(help="Though the gate did not promote it.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make a model champion, if it loads and the gate promoted it; exit 3 if the gate did not."""
    from qtlib.learning import registry

    shelf, version = registry.find(_root(), model)
    change = registry.promote(shelf, version, who=_who(), why=why, at=_now(), unjudged=unjudged)
    _tell(change, as_json)


@models.command("rollback", epilog='Example: qt models rollback --why "it loses"')
def models_rollback(
    why: Why = "by hand",
    shelf: Annotated[str, typer.Option(help="Whose champion, where several kinds of models are kept.")] = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Return to the champion before this one."""
    from qtlib.learning import registry

    root = _root()
    places = [p for p in registry.shelves(root) if shelf in ("", p.name)]
    if len(places) != 1:
        there = ", ".join(p.name for p in registry.shelves(root)) or "none"
        raise registry.NoSuchModel(
            f"{len(places)} shelves of models in {root} are meant; name one with --shelf: {there}"
        )
    _tell(registry.rollback(places[0], who=_who(), why=why, at=_now()), as_json)


def _tell(change: Any, as_json: bool) -> None:
    from dataclasses import asdict

    words = f"{change.version} is champion from the next bar on ({change.action}: {change.why})"
    respond(asdict(change), as_json, lambda out: out.print(words, highlight=False, markup=False, soft_wrap=True))


def _root() -> Any:
    from qtlib.runs.record.folder import runs_root

    return runs_root() / "models"


def _who() -> str:
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)
