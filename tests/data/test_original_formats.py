import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from made_originals import tar_gz

from cnnkit.data.archives import read_file, read_members
from cnnkit.data.original_formats import convert_cifar_pickle, parse_cifar, parse_idx


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not an IDX file"),
        (b"<htm", "not an IDX file"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1, 0]), "type 13"),
        (bytes([0, 0, 8, 9]) + bytes(40), "9 dimensions"),
        (bytes([0, 0, 8, 3, 0, 0]), "ends inside its IDX header"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]), "2 values where its header says"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 2]), "2 values where its header says"),
    ],
)
def test_idx_that_is_none_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_idx(raw)


def test_cifar_records_must_be_whole() -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_cifar(bytes(3074))


class _Evil:
    def __init__(self, function: object, *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_with_code_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "ran"
    evil = {"labels": [0], "data": np.zeros((1, 3072), np.uint8), "x": _Evil(os.mkdir, str(trace))}
    with pytest.raises(ValueError, match="mkdir"):
        convert_cifar_pickle(pickle.dumps(evil, protocol) if protocol < 5 else pickle.dumps({"x": evil["x"]}, protocol))
    assert not trace.exists()


@pytest.mark.parametrize("name", ["builtins\neval", "numpy\nload", "numpy\nndarray.tofile", "copyreg\n_reconstructor"])
def test_pickle_may_name_nothing_but_the_five(name: str) -> None:
    with pytest.raises(ValueError, match="it asks for"):
        convert_cifar_pickle(b"c" + name.encode() + b"\n.")


@pytest.mark.parametrize(
    "batch",
    [
        {"labels": [0], "data": np.zeros((1, 3072), np.float32)},
        {"labels": [0, 0], "data": np.asfortranarray(np.zeros((2, 3072), np.uint8))},
        {"labels": [300], "data": np.zeros((1, 3072), np.uint8)},
        {"data": np.zeros((1, 3072), np.uint8)},
        {"labels": [0], "data": [1, 2]},
        ["labels", "data"],
    ],
)
def test_pickle_of_something_else_is_refused(batch: object) -> None:
    with pytest.raises(ValueError, match="not a CIFAR batch"):
        convert_cifar_pickle(pickle.dumps(batch, protocol=2))


def test_decompression_stops_at_the_limit(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(1 << 20)))
    with pytest.raises(ValueError, match="more than the 1000 bytes"):
        read_file(bomb, 1000)
    archive = tmp_path / "bomb.tar.gz"
    archive.write_bytes(tar_gz({"big": bytes(1 << 20), "wanted": b"x"}))
    with pytest.raises(ValueError, match="member big"):
        read_members(archive, {"wanted"}, 1000)


def test_archive_with_too_many_members_or_without_the_wanted_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "many.tar.gz"
    archive.write_bytes(tar_gz({f"m{i}": b"" for i in range(100)}))
    with pytest.raises(ValueError, match="more than 64 members"):
        read_members(archive, {"m99"}, 10)
    archive.write_bytes(tar_gz({"a": b"x"}))
    with pytest.raises(ValueError, match="has no b"):
        read_members(archive, {"a", "b"}, 10)
