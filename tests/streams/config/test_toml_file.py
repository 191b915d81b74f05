"""Reading a TOML file: every mistake names the file and what it is."""

from pathlib import Path

import msgspec
import pytest

from streams.config.settings import SettingsError
from streams.config.toml_file import read_toml


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    count: int


def test_file_when_of_its_shape_then_read(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("count = 3\n")
    assert read_toml(file, Shape, "some file") == Shape(3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"count = \xff\n", "not UTF-8 text"),
        (b"count = \n", "Invalid value"),
        (b'count = "3"\n', "Expected `int`, got `str` - at `$.count`"),
        (b"count = 3\nmore = 1\n", "Object contains unknown field `more`"),
        (None, "No such file or directory"),
    ],
)
def test_file_when_it_breaks_a_rule_then_said_with_its_name(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "a.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        read_toml(file, Shape, "some file")
    assert str(refused.value).startswith(f"some file {file}: ")
    assert said in str(refused.value)
