"""The real venue, Binance USD-M perpetual futures: calls by REST, what is told without being asked by streams."""
