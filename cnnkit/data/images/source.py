"""Where the bytes of an image are: in a file, or in memory."""

import io
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO, Literal


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """The content of an image file in memory, such as an upload. `read_image` makes the same pixels of it as of a file.

    Args:
        name: of the file; its suffix decides the format where the content does not, as for a file.
        content: the bytes of the file, still encoded.
    """

    name: str
    content: bytes = field(repr=False)

    @property
    def suffix(self) -> str:
        """The end of the name, with its dot; empty if there is none."""
        return PurePath(self.name).suffix

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Open the content for reading, as `Path.open` does a file."""
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        return self.name


Source = Path | EncodedImage


def as_file(source: Source) -> Path | BinaryIO:
    """Return what the readers of other libraries take: the path, or a stream of the content."""
    return source if isinstance(source, Path) else source.open()
