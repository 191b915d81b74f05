"""Following what the engine says."""
