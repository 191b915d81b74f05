"""Benchmarks that an installed package can run: made-up accounts, a market of ticks, stop-watches."""
