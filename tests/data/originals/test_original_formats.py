import gzip
import lzma
from pathlib import Path

import pytest

from cnnkit.data.originals.formats import convert_cifar_pickle, parse_cifar, parse_idx, read_file


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


def test_decompression_stops_at_the_limit(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(1 << 20)))
    with pytest.raises(ValueError, match="more than the 1000 bytes"):
        read_file(bomb, 1000)
    for name, pack in (("b.gz", gzip.compress), ("b.xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(b"content"))
        assert read_file(tmp_path / name, 1000) == b"content"
        (tmp_path / name).write_bytes(pack(b"content")[:-6])
        with pytest.raises(ValueError, match="cannot be read"):
            read_file(tmp_path / name, 1000)


def test_a_pickle_gets_nothing_but_arrays() -> None:
    with pytest.raises(ValueError, match=r"its pickle asks for posix\.system"):
        convert_cifar_pickle(b"cposix\nsystem\n(S'exit 1'\ntR.")
