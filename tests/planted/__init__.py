"""Planted bugs: each breaks one clause of the promise, and one named test must fail for it."""
