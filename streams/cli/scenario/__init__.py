"""Scenarios of stress: what ships, and one made of a recording."""
