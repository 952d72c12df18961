"""The tree of commands, the options that many of them share, and the one way in."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from qtlib.cli.saying import failed, fall_silent, say

app = typer.Typer(
    help="Quantum Trader: from a first look at the data to trading, in notebooks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(help="Bars on disk: what is there, what is wrong with it, and simulated ones.", no_args_is_help=True)
runs = typer.Typer(help="The folders of past runs.", no_args_is_help=True)
models = typer.Typer(help="The registry: what was learned, what the gate said, who is champion.", no_args_is_help=True)
alerts = typer.Typer(help="What needs a person: who is told, and what was.", no_args_is_help=True)
app.add_typer(data, name="data", rich_help_panel=None)
app.add_typer(runs, name="runs", rich_help_panel=None)
app.add_typer(models, name="models", rich_help_panel=None)
app.add_typer(alerts, name="alerts", rich_help_panel=None)

ParamsFile = Annotated[Path | None, typer.Option("--params", help="Settings, as in params/sim.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("-p", metavar="SECTION.KEY=VALUE", help="One setting; may be given many times.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]


def main() -> None:
    """The way in; whatever goes wrong below ends here, as a sentence and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        fall_silent()
        sys.exit(1)
    except Exception as e:
        sys.exit(failed(e))
