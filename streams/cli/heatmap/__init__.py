"""What a move of the whole market would liquidate."""
