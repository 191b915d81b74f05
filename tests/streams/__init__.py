"""Tests of the shell around the engine: I/O, storage, agents and the servers of the demo."""
