"""An event recomputed from the log alone."""
