"""A survey of a folder of bars: what is odd in it, found without being told, and which stretches may be traded on."""

from qtlib.market.survey.oddities import Oddity
from qtlib.market.survey.survey import Life, Survey, Verdict, survey

__all__ = ["Life", "Oddity", "Survey", "Verdict", "survey"]
