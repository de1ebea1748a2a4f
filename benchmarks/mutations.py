"""Files to fuzz with: whole ones of every kind, and what a generator of random numbers makes of them."""

import gzip
import io
import lzma
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from cnnkit.data.images.formats import has_heif

EXTREMES = [struct.pack(f"{order}I", n) for order in "<>" for n in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 40_000)]


def seed_images() -> dict[str, bytes]:
    """Small images of all formats that Pillow writes, by name."""
    if has_heif():
        import pillow_heif

        pillow_heif.register_heif_opener()
    rng = np.random.default_rng(0)
    color = Image.fromarray(rng.integers(0, 256, (12, 16, 4), dtype=np.uint8)).resize((97, 61))
    wide = Image.fromarray(np.asarray(color)[..., 0].astype(np.uint16) * 257)
    modes = {mode: color.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "CMYK", "F", "I")}
    modes |= {"RGBA": color, "I;16": wide}
    options: dict[str, list[dict[str, object]]] = {
        "jpg": [{"quality": 90}, {"progressive": True}],
        "png": [{}],
        "tif": [
            {},
            *({"compression": f"tiff_{name}"} for name in ("lzw", "deflate", "jpeg")),
            {"compression": "packbits"},
        ],
        "webp": [{"lossless": True}, {}],
        "tga": [{}, {"compression": "tga_rle"}],
        "gif": [{"save_all": True, "append_images": [modes["P"].rotate(90)]}],
    }
    suffixes = (
        *("jpg", "png", "tif", "webp", "gif", "bmp", "ppm", "pfm", "jp2", "avif", "heic", "tga", "ico", "icns"),
        *("pcx", "dds", "sgi", "qoi", "dib", "im", "msp", "xbm", "blp"),
    )
    found: dict[str, bytes] = {}
    for suffix in suffixes:
        for mode, image in modes.items():
            for number, option in enumerate(options.get(suffix, [{}])):
                if option.get("compression") == "tiff_jpeg" and mode not in ("L", "RGB", "CMYK"):
                    continue  # libtiff would say so on standard error
                file = io.BytesIO()
                try:
                    image.save(file, Image.registered_extensions()[f".{suffix}"], **option)
                except (OSError, KeyError, ValueError, RuntimeError):  # not in this mode, or not built in
                    continue
                found[f"{mode}-{number}.{suffix}"] = file.getvalue()
    return found


def seed_originals() -> dict[str, bytes]:
    """Small IDX files, plain and compressed, by name."""
    content = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 28, 28) + bytes(2 * 28 * 28)
    return {"a.idx": content, "a.gz": gzip.compress(content), "a.xz": lzma.compress(content)}


def mutate(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Change a file in one to four ways; `other` gives it a part."""
    mutable = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if not mutable:
            break
        rng.choice(_MUTATIONS)(mutable, other, rng)
    result = bytes(mutable)
    return _mend_checksums(result) if rng.random() < 0.5 else result


def _flip(content: bytearray, _: bytes, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 4, 32))):
        content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _overwrite(content: bytearray, _: bytes, rng: random.Random) -> None:
    start = _place(content, rng)
    value = rng.choice(EXTREMES)[: rng.choice((1, 2, 4))]
    content[start : start + len(value)] = value


def _cut(content: bytearray, _: bytes, rng: random.Random) -> None:
    start = _place(content, rng)
    del content[start : start + rng.choice((1, 4, 100, len(content)))]


def _repeat(content: bytearray, _: bytes, rng: random.Random) -> None:
    start = _place(content, rng)
    content[start:start] = content[start : start + rng.choice((4, 64, 1000))] * rng.choice((1, 2, 50))


def _splice(content: bytearray, other: bytes, rng: random.Random) -> None:
    start, end = sorted(rng.randrange(len(other) + 1) for _ in range(2))
    place = _place(content, rng)
    content[place : place + end - start] = other[start:end]


_MUTATIONS: list[Callable[[bytearray, bytes, random.Random], None]] = [
    _flip,
    _overwrite,
    _overwrite,
    _cut,
    _repeat,
    _splice,
]


def _place(content: bytearray, rng: random.Random) -> int:
    """Rather near the start, where headers are."""
    return rng.randrange(min(len(content), rng.choice((64, 512, len(content)))))


def _mend_checksums(content: bytes) -> bytes:
    """Make what lies behind a checksum reachable: those of PNG's chunks."""
    if content.startswith(b"\x89PNG"):
        place, parts = 8, [content[:8]]
        while len(content) - place >= 12:
            length = min(struct.unpack(">I", content[place : place + 4])[0], len(content) - place - 12)
            chunk = content[place + 4 : place + 8 + length]
            parts.append(struct.pack(">I", length) + chunk + struct.pack(">I", zlib.crc32(chunk)))
            place += 12 + length
        return b"".join(parts)
    return content
