"""Finds English that was left in what should be Norwegian: words that the one language has and the other has not."""

import json
import re
from html import unescape

ENGLISH = (
    "the|of|and|is|was|were|are|has|have|had|not|with|without|from|that|this|these|those|which|what|who|"
    "why|when|where|than|then|until|since|after|before|between|through|each|every|only|already|here|there|"
    "its|their|our|your|whether|because|would|could|should|must|may|been|being|does|did|nothing|nobody|"
    "none|trade|trades|traded|entry|exit|exits|stop|stops|target|positions|order|orders|price|prices|bar|"
    "bars|fee|fees|limit|limits|session|venue|market|settings|equity|drawdown|held|opened|closed|bought|"
    "sold|missing|unknown|found|refused|left|asked|paused|killed|filled|rejected|canceled"
)
_WORD = re.compile(rf"(?<![\w./=_:`-])({ENGLISH})(?![\w./=_-])", re.IGNORECASE)
_QUOTED = re.compile(r"`[^`]*`|<(code|kbd|time)\b.*?</\1>", re.DOTALL)  # what is typed, and what is copied out
_SHOWN = re.compile(r'(?:aria-label|title|placeholder)="([^"]*)"|>([^<>]+)<')


def left_in(markup):
    """Each text of `markup`, chart or cell, that has an English word, with that word."""
    charts = re.findall(r'<script type="application/json">(.*?)</script>', markup, re.DOTALL)
    bare = re.sub(r"<(script|style|header)\b.*?</\1>", "", markup, flags=re.DOTALL)
    texts = {unescape(a or b).strip() for a, b in _SHOWN.findall(_QUOTED.sub("", bare))}
    texts |= {text for chart in charts for text in _said(json.loads(chart))}
    return sorted({(found[0], text) for text in texts if (found := _WORD.search(text))})


def _said(node):
    """What a chart says: names, titles, labels and words beside points."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("name", "text", "label", "hovertemplate", "title") and isinstance(value, str):
                yield value
            elif key in ("text", "x", "y", "ticktext", "hovertext") and isinstance(value, list):
                yield from (item for item in value if isinstance(item, str))
            else:
                yield from _said(value)
    elif isinstance(node, list):
        for item in node:
            yield from _said(item)
