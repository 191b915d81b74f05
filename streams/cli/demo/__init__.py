"""A market crash on this machine."""
