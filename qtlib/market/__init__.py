"""Bars on disk: read with checks, stored whole, simulated where none are wanted. Bad bars never trade."""

from qtlib.market.market import BadData, Market, aggregate
from qtlib.market.quality import Finding, Severity, check
from qtlib.market.reading import first_closes, read
from qtlib.market.store import Store

__all__ = ["BadData", "Finding", "Market", "Severity", "Store", "aggregate", "check", "first_closes", "read"]
