"""YAML is read as people mean it, and no file takes long."""

import os
import time
from pathlib import Path

import pytest

from cnnkit.config_files.scalars import PlainScalar, as_word, plain
from cnnkit.config_files.yaml_files import read_dump, read_file, read_word, read_yaml
from cnnkit.errors import UserError

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]" for i in range(9)
)
BOMBS = {
    "aliases": (LAUGHS, "stands for more than 20,000 values"),
    "an alias of itself": ("a: &a [*a]", "contains itself"),
    "a long list": ("a: [" + "1, " * 1_700_000 + "1]", "has more than 0.5 MB"),
    "many values": ("a: [" + "1, " * 100_000 + "1]", "has more than 20,000 values"),
    "deep": ("a: " + "[" * 10_000 + "]" * 10_000, "nest"),
    "deep and open": ("[" * 10_000, "nest"),
    "deep mappings": ("{a: " * 10_000, "nest"),
    "merged": (
        "\n".join(f"m{i}: &m{i} {{{'<<: *m' + str(i - 1) if i else 'k: 1'}, a{i}: 1}}" for i in range(3000)),
        "",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_soon_with_a_line(tmp_path: Path, name: str) -> None:
    text, expected = BOMBS[name]
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    began = time.process_time()
    for read in (read_yaml, read_dump, read_file):
        with pytest.raises(UserError, match=f"bomb.yaml.*{expected}"):
            read(file)
    assert time.process_time() - began < 4  # some two seconds on a very slow machine


def test_a_number_of_a_million_digits_is_a_word(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("a: " + "9" * 400_000)
    assert read_yaml(file)["a"] == "9" * 400_000
    with pytest.raises(UserError, match="not valid YAML"):
        read_dump(file)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_and_line_ends_of_other_systems(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes("a: é\r\nb:\r\n  - 1\r\n".encode(encoding))
    assert read_file(file).values == {"a": "é", "b": ["1"]}


def test_what_is_no_configuration_says_so(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    for content, expected in (
        ("a:\n\tb: 1", "line 2: not valid YAML .*; indent with spaces, not tabs"),
        ("a: !!python/name:os.system x", "line 1: not valid YAML"),
        ("a: 1\na: 2", "line 2: 'a' stands twice"),
        ("[a]: 1", "line 1: a key must be a word"),
        ("a: 1\n---\nb: 2", "line 2: not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("", "empty"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=expected):
            read_file(file)
    with pytest.raises(UserError, match="a folder, where a file is needed"):
        read_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="a named pipe, where a file is needed"):
        read_file(tmp_path / "pipe")


def test_merge_keys(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {a: 9, c: 4}]}")
    found = plain(read_yaml(file))
    assert (found["y"], found["z"]) == ({"a": 1, "b": 3}, {"a": 1, "b": 2, "c": 4})


def test_keys_are_text(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("no: 1\n10: 2\n1e3: 3\n")
    assert list(read_yaml(file)) == ["no", "10", "1e3"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("1e-3", 1e-3), ("1e3", 1e3), ("-1", -1), ("+5", 5), (".5", 0.5), ("1.", 1.0), ("1_000", 1000), ("0x10", 16)),
        *(
            ("yes", True),
            ("Off", False),
            ("[1e-3, no]", [1e-3, False]),
            ("{a: 1}", {"a": 1}),
            ("null", None),
            ("~", None),
        ),
        *(
            ("2026-11-25", "2026-11-25"),
            ("a: b", "a: b"),
            ("'3'", "3"),
            ("“3”", 3),
            ("e3", "e3"),
            ("-", "-"),
            ("inf", "inf"),
        ),
        *(("0123", "0123"), ("1:30", "1:30"), ("7e12345", "7e12345")),  # where no number is due they are text
    ],
)
def test_a_word_and_what_it_stands_for(word: str, value: object) -> None:
    found = plain(read_word(word, "key"))
    assert (found, type(found)) == (value, type(value))


def test_a_value_becomes_a_word_that_reads_as_the_same_value() -> None:
    for value in (
        PlainScalar("1e-3"),
        "text",
        "null",
        '"',
        [PlainScalar("1e3"), "1e3", None],
        {"a b": ["no"]},
        None,
        True,
    ):
        again = read_word(as_word(value), "key")
        if not isinstance(value, str):  # a scalar's type is for the key to decide
            assert plain(again) == plain(value)
        assert str(again) == str(value) if isinstance(value, str) else True
