"""Live threads: the feed, the socket that hurries it, and the decisions behind them."""
