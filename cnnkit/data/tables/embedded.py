"""Images that are bytes in a table, as files: one for each content, so that they are checked and decoded as all are."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from cnnkit.data.images.formats import IMAGE_SUFFIXES
from cnnkit.data.tables.reading import Table
from cnnkit.errors import UserError
from cnnkit.files import replacing
from cnnkit.notices import say

_MANY = 1000


def write_images(table: Table, column: str, folder: Path, rows: int) -> Iterator[tuple[Path | None, str | None]]:
    """Write the bytes of each row to a file that is named by their hash; a file that is there is not written again.

    Yields:
        For each row its file, or None and the path that the row has instead of bytes.

    Raises:
        UserError: the folder cannot be written to.
    """
    told = False
    try:
        for content, path in table.iterate_bytes(column):
            if not content:
                yield None, path
                continue
            name, suffix = hashlib.sha256(content).hexdigest()[:16], Path(path or "").suffix.lower()
            file = folder / name[:2] / f"{name}{suffix if suffix in IMAGE_SUFFIXES else ''}"
            if not file.exists() or file.stat().st_size != len(content):
                if not told and rows > _MANY:
                    say(f"{table.path}: its images are copied to {folder}, this once; you can delete it at any time")
                told = True
                file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(file, "wb") as opened:
                    opened.write(content)
            yield file, None
    except OSError as error:
        raise UserError(
            f"{folder}: the images of {table.path} cannot be kept there ({error.strerror}); name another data.data_dir"
        ) from None
