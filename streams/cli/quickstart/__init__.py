"""`unimargin quickstart`: a first margin call."""
