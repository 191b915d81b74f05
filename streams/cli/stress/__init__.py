"""All accounts in another market."""
