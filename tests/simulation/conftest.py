"""One life alone, where `--seed` names it."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all that is no life of that seed."""
    if config.getoption("--seed") is None:
        return
    here = [it for it in items if it.path.is_relative_to(Path(__file__).parent)]
    others = [it for it in here if "seeds" not in getattr(it, "fixturenames", ())]
    config.hook.pytest_deselected(items=others)
    items[:] = [it for it in items if it not in others]
