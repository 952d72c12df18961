"""How tables and cards look, wherever they are shown."""

from importlib.resources import files

STYLE = files("qtlib.report").joinpath("assets", "blocks.css").read_text("utf-8")
