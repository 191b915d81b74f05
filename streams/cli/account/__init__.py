"""Where an account stands, what it may do, and what would change it."""
