"""Binance USD-M perpetual futures: the real venue, its playground, and our own served venue, through one adapter."""
