"""Small files that ask for much: each is refused at its bound, before memory or stack is taken."""

import gzip
import lzma
import pickle
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnkit.data.archives import read_file, read_members
from cnnkit.data.original_formats import convert_cifar_pickle
from cnnkit.data.plain_pickle import MAX_TUPLES

LIMIT = 1 << 20


def refused(read: Callable[[], object], reason: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=reason) as caught:
            read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 40 << 20


BIG = b"x" * 100_000
COPY = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R0"


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (b"\x80\x02]r\xff\xff\xff\x0f.", "claims room for 268,435,455 values"),  # 9 bytes, 4 GB
        (b"\x80\x02]p268435455\n.", "claims room"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 4 << 30) + b".", "bytes"),
        (b"\x80\x04\x95" + struct.pack("<Q", 4 << 30) + b".", "frame|bytes|FRAME|truncated"),
        (b"\x80\x02X" + struct.pack("<I", 4_000_000_000) + b".", "bytes"),
        (b"\x80\x02\x8b" + struct.pack("<i", 2_000_000_000) + b".", "long4"),
        (b"\x80\x02X" + struct.pack("<I", len(BIG)) + BIG + b"q\x000" + COPY * 1000 + b"N.", "copies its content"),
        (b"\x80\x02}N" + b"\x85" * 1_000_000 + b"Ns.", f"more than {MAX_TUPLES:,} tuples"),
        (b"\x80\x02}N" + b"\x85" * MAX_TUPLES + b"Ns.", "not a CIFAR batch"),  # hashed, and given up quietly
        (b"\x80\x02N" + b"\x81" * 9 + b".", "it uses NEWOBJ"),
        (b"\x80\x02cos\nsystem\n.", "it asks for os.system"),
        (b"", "pickle"),
    ],
)
def test_pickles(pickled: bytes, reason: str) -> None:
    refused(lambda: convert_cifar_pickle(pickled), reason)


def tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tar_header("a", 700_000_000, tarfile.XHDTYPE) + bytes(4096), "member a is not .* claims 700,000,000 bytes"),
        (tar_header("a", 700_000_000, tarfile.GNUTYPE_LONGNAME) + bytes(4096), "claims 700,000,000"),
        (tar_header("a", 700_000_000) + bytes(4096), "claims 700,000,000"),
        (tar_header("a", -5) + bytes(4096), "claims -5"),
        (b"".join(tar_header(f"m{k}", LIMIT) + bytes(LIMIT) for k in range(9)), "member m8 is not"),
        (tar_header("a", 100) + b"short", "ends within"),
        (b"x" * 512, "cannot be read"),
        (b"x" * 100, "cannot be read"),
        (b"", "has no wanted"),
    ],
)
def test_archives(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(content))
    refused(lambda: read_members(path, {"wanted"}, LIMIT), reason)
    path.write_bytes(gzip.compress(content)[:-9])
    refused(lambda: read_members(path, {"wanted"}, LIMIT), "it ")


def test_bombs_of_gzip_and_xz(tmp_path: Path) -> None:
    content = bytes(64 << 20)
    for name, pack in (("a.gz", gzip.compress), ("a.xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(content))
        refused(lambda name=name: read_file(tmp_path / name, LIMIT), f"more than the {LIMIT} bytes")  # type: ignore[misc]
        (tmp_path / name).write_bytes(pack(b"content"))
        assert read_file(tmp_path / name, LIMIT) == b"content"
        (tmp_path / name).write_bytes(pack(b"content")[:-6])
        refused(lambda name=name: read_file(tmp_path / name, LIMIT), "cannot be read")  # type: ignore[misc]
    dictionary = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    (tmp_path / "a.xz").write_bytes(lzma.compress(b"content", filters=dictionary))
    refused(lambda: read_file(tmp_path / "a.xz", LIMIT), "[Mm]emory")


def test_numbers_of_the_publishers_kind_are_read() -> None:
    names = [f"{'x' * 20}{k}.png" for k in range(10)]
    for protocol in (2, 4, 5):
        batch = {"labels": [0], "filenames": names, "batch_label": "testing batch 1 of 1"}
        with pytest.raises(ValueError, match="data"):  # everything else is read
            convert_cifar_pickle(pickle.dumps(batch, protocol=protocol))
