"""Bars of this machine: fetched, brought in, measured."""
