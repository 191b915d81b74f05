"""Where scenarios of stress come from: those that ship with the package, by name, or files."""

from importlib import resources
from pathlib import Path

from engine.analytics.stress_scenario import ScenarioError, StressScenario, parse_scenario
from streams.config.settings import SettingsError


def shipped_scenarios() -> list[StressScenario]:
    """Those that ship with the package, by name."""
    return [_read(path) for path in sorted(_shipped_directory().glob("*.toml"))]


def load_scenario(name: str) -> StressScenario:
    """The shipped scenario of that name, or the one in that file. Raises `SettingsError`."""
    shipped = _shipped_directory() / f"{name}.toml"
    if shipped.is_file() and "/" not in name:
        return _read(shipped)
    path = Path(name)
    if not path.is_file():
        known = ", ".join(path.stem for path in sorted(_shipped_directory().glob("*.toml")))
        raise SettingsError(f"--scenario {name!r}: neither a file nor one of {known}")
    return _read(path)


def _shipped_directory() -> Path:
    path = Path(str(resources.files("streams"))) / "default_scenarios"
    return path if path.is_dir() else Path(__file__).parents[2] / "deploy" / "scenarios"


def _read(path: Path) -> StressScenario:
    try:
        return parse_scenario(path.read_text(encoding="utf-8"))
    except ScenarioError as error:
        raise SettingsError(f"scenario file {path}: {error}") from None
    except OSError as error:
        raise SettingsError(f"scenario file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"scenario file {path}: not UTF-8 text") from None
