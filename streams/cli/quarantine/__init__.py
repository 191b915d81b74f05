"""Records that were set aside."""
