"""The account after a move, an order or a deposit."""
