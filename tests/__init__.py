"""The tests. A package, so that pytest puts the checkout on the import path and not `tests/`, where `streams` is another."""
