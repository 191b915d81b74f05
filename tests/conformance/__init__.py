"""Runs published numeric cases through the engine: `python -m tests.conformance FILE...`."""
