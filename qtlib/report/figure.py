"""A picture that shows itself: as data for a page or a notebook, and without what plotly loads to do the same.

What plotly calls to show a figure loads its renderers and a notebook's libraries, and takes as long as drawing.
"""

import json
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from IPython.display import display
from plotly.subplots import make_subplots

PLOTLY = "application/vnd.plotly.v1+json"


class Figure(go.Figure):  # type: ignore[misc]  # untyped base
    """A plotly figure in every other respect."""

    def _ipython_display_(self) -> None:
        display({PLOTLY: json.loads(self.to_json())}, raw=True)  # type: ignore[no-untyped-call]  # half typed


def in_parts(**given: Any) -> Figure:
    """A figure of several parts, as plotly's `make_subplots` is given them."""
    figure = Figure()
    make_subplots(figure=figure, **given)
    return figure


def when(times: Any) -> Any:
    """`times` as plotly draws them, in UTC: an object each is what plotly makes of anything else, and copies thrice."""
    return pd.DatetimeIndex(pd.to_datetime(times, utc=True)).tz_localize(None).to_numpy().astype("datetime64[us]")
