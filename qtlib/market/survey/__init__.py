"""A survey of a folder of bars: what is odd in it, found without being told, and which stretches may be traded on."""

from qtlib.market.survey.oddities import Oddity
from qtlib.market.survey.survey import Doubts, Life, Survey, Verdict, doubts, survey

__all__ = ["Doubts", "Life", "Oddity", "Survey", "Verdict", "doubts", "survey"]
