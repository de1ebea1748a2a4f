"""Read large compressed TIFF files in bands of rows.

Each strip or tile is compressed separately. Those of a band are written as a small TIFF with the tags of the file, and
Pillow decodes it. tifffile reads single strips as well, but needs imagecodecs, a large package, for LZW and JPEG.
"""

import io
import itertools
import math
from typing import Literal

from PIL import Image
from PIL import TiffImagePlugin as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from cnnkit.data.images import tiff
from cnnkit.data.images.source import Source

_SEGMENT = 64 << 20  # bytes of a row of tiles, or of a strip, above which bands save no memory
_ORIENTATION = 274
_HEADER, _LONG, _LONG8 = 8, 4, 16
# The tags that decoding needs, from ImageWidth to ReferenceBlackWhite.
_COPIED = (
    *(256, 258, 259, 262, 266, 277, 278, 284, 292, 293, 317, 320, 322, 323, 332, 338, 339, 347),
    *(529, 530, 531, 532),
)


class TiffBands:
    """The rows of a TIFF in strips or tiles of `rows` rows, `across` tiles beside each other; use `open`."""

    def __init__(self, path: Source, image: TiffImageFile, rows: int, across: int) -> None:
        self.path, self.size, self.mode, self.rows, self.across = path, image.size, image.mode, rows, across
        tags = image.tag_v2
        self._prefix = tags.prefix
        self._tags = {tag: tags[tag] for tag in _COPIED if tag in tags}
        self._types = {tag: _LONG if tags.tagtype[tag] == _LONG8 else tags.tagtype[tag] for tag in self._tags}
        self._tiled = Tag.TILEOFFSETS in tags
        names = (Tag.TILEOFFSETS, Tag.TILEBYTECOUNTS) if self._tiled else (Tag.STRIPOFFSETS, Tag.STRIPBYTECOUNTS)
        self._segments = list(zip(tags[names[0]], tags[names[1]], strict=True))
        self._names = names

    @classmethod
    def open(cls, path: Source, image: TiffImageFile) -> "TiffBands | None":
        """Open the bands; None if strips are too large, or depend on each other as in old JPEG compression."""
        tags = image.tag_v2
        tiled = Tag.TILEOFFSETS in tags
        rows = int(tags.get(Tag.TILELENGTH if tiled else Tag.ROWSPERSTRIP, image.size[1]))
        across = math.ceil(image.size[0] / int(tags[Tag.TILEWIDTH])) if tiled else 1
        counts = tags.get(Tag.TILEBYTECOUNTS if tiled else Tag.STRIPBYTECOUNTS, ())
        too_large = rows * image.size[0] * 8 > _SEGMENT
        if too_large or tags.get(Tag.COMPRESSION) == 6 or not counts or tags.get(_ORIENTATION, 1) != 1:
            return None
        return cls(path, image, rows, across)

    def read(self, top: int, bottom: int) -> Image.Image:
        """Decode the strips or tiles that contain the rows."""
        result = Image.new(self.mode, (self.size[0], bottom - top))
        first = top // self.rows
        while first * self.rows < bottom:
            last = min(math.ceil(bottom / self.rows), first + max(1, _SEGMENT // (self.rows * self.size[0] * 8)))
            result.paste(self._decode(first, last), (0, first * self.rows - top))
            first = last
        return result

    def _decode(self, first: int, last: int) -> Image.Image:
        down = math.ceil(self.size[1] / self.rows)
        planes = len(self._segments) // (down * self.across) if self._tags.get(Tag.PLANAR_CONFIGURATION) == 2 else 1
        length = min(self.size[1], last * self.rows) - first * self.rows
        chosen = [
            self._segments[plane * down * self.across + i]
            for plane in range(planes)
            for i in range(first * self.across, last * self.across)
        ]
        content = []
        with self.path.open("rb") as file:
            for offset, count in chosen:
                file.seek(offset)
                content.append(file.read(count))
        with Image.open(io.BytesIO(self._wrap(length, content)), formats=("TIFF",)) as image:
            tiff.find_kind(image)
            image.load()
            return image.copy()

    def _wrap(self, length: int, content: list[bytes]) -> bytes:
        """Write a TIFF of these strips or tiles."""
        tags = ImageFileDirectory_v2(prefix=self._prefix)
        for tag, value in self._tags.items():
            tags.tagtype[tag] = self._types[tag]
            tags[tag] = value
        tags[Tag.IMAGELENGTH] = length
        offsets, counts = self._names
        tags.tagtype[offsets] = tags.tagtype[counts] = _LONG
        tags[counts] = tuple(len(each) for each in content)
        places = tuple(itertools.accumulate(map(len, content[:-1]), initial=0))
        tags[offsets] = places
        start = _HEADER + len(tags.tobytes(_HEADER))
        if self._tiled:  # Pillow itself moves the offsets of strips
            tags[offsets] = tuple(start + place for place in places)
        order: Literal["little", "big"] = "little" if self._prefix == b"II" else "big"
        head = self._prefix + (42).to_bytes(2, order) + _HEADER.to_bytes(4, order)
        return b"".join([head, tags.tobytes(_HEADER), *content])
