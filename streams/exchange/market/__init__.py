"""The course of a market: what is quoted, where it starts, how it moves, and prices that answer to trades. Pure but for reading recordings."""
