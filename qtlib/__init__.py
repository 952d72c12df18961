"""Quantum Trader: research to live money on perpetual futures."""
