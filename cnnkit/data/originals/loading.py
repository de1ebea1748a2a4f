"""The publishers' files as arrays: found on disk or downloaded, and checked by SHA-256."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnkit.data.originals.download import fetch, lock
from cnnkit.data.originals.formats import convert_cifar_pickle, parse_cifar, parse_idx, read_file, read_members
from cnnkit.data.originals.sources import Source, find_source
from cnnkit.errors import UserError
from cnnkit.notices import say

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_REMEDY = "Delete it to download it again, or name another folder that holds the originals with --data.mirror DIR."
_LEAVE_OUT = "name the folder that holds the originals with --data.mirror DIR, or leave it out to download them"


class Originals(NamedTuple):
    """A data set as published: the `ARRAYS`, uint8 (N, C, H, W) and (N,), and the path and SHA-256 of each file."""

    arrays: dict[str, NDArray[np.uint8]]
    files: dict[str, dict[str, str]]


class Place(NamedTuple):
    """A file, or a member of an archive."""

    path: Path
    member: str = ""


def load_originals(name: str, data_dir: str | PathLike[str], mirror: str | PathLike[str] | None = None) -> Originals:
    """Read a data set from the publisher's files, each checked by its SHA-256; download the files that are missing.

    Files are looked for in `data_dir`, then in `mirror`, in the layouts of the publisher and of torchvision (see
    `SOURCES`). They are never changed, and archives are read in memory.

    Args:
        name: ``mnist``, ``fashion_mnist`` or ``cifar10``.
        data_dir: The folder of the data sets; a download goes there.
        mirror: Another folder that holds the originals; with it, nothing is downloaded.

    Raises:
        UserError: The name is unknown, a file is not the publisher's, `mirror` lacks a file, or a download failed.
    """
    source = find_source(name)
    data_dir = Path(data_dir).expanduser()
    folders = [data_dir] if mirror is None else [data_dir, Path(mirror).expanduser()]
    places = _find_places(source, folders)
    note_unused_mirror(mirror, data_dir, [place.path for place in places.values()])
    if len(places) < len(source.files):
        if mirror is not None:
            if not folders[1].is_dir():
                raise UserError(f"mirror is {mirror}, which is no folder; {_LEAVE_OUT}")
            missing = next(file for file in source.files if file not in places)
            looked = ", ".join(
                layout.format(file=missing, stem=missing.removesuffix(".bin")) for layout in source.layouts
            )
            raise UserError(f"{source.title} is not in the mirror {mirror}: none of {looked} is there; {_LEAVE_OUT}")
        with lock(data_dir / ".cnnkit" / "download.lock", "downloads a data set"):
            _download(source, data_dir)
        places = _find_places(source, folders)
    return read_places(source, places)


def note_unused_mirror(mirror: str | PathLike[str] | None, data_dir: Path, used: Sequence[Path]) -> None:
    """Print that a mirror is not needed, unless it is the data's own folder or one of the used files lies in it.

    Args:
        mirror: the folder that was named as a mirror, if one was.
        data_dir: the folder of the data sets.
        used: where the data lie; none if they are to be found yet.
    """
    if mirror is None or not used or Path(mirror).expanduser() == data_dir:
        return
    if not any(path.is_relative_to(Path(mirror).expanduser()) for path in used):
        say(f"data.mirror {mirror} is not needed: the data are in {used[0].parent} already")


def read_places(source: Source, places: Mapping[str, Place], remedy: str = _REMEDY) -> Originals:
    """Read, check and parse the files of a data set.

    Raises:
        UserError: A file is not the publisher's; the message ends with the remedy.
    """
    raw: dict[str, bytes] = {}
    for path, members in _group_by_path(places).items():
        try:
            raw |= _read(source, path, members)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not the publisher's {source.title} file: {error}. {remedy}") from None
    files = {file: {"path": str(places[file].path.absolute()), "sha256": source.sha256[file]} for file in source.files}
    arrays = (*_parse(source, raw, source.train), *_parse(source, raw, source.test))
    return Originals(dict(zip(ARRAYS, arrays, strict=True)), files)


def _find_places(source: Source, folders: Iterable[Path]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for folder in folders:
        for layout in source.layouts:
            for file in source.files:
                place = _fill_layout(folder, layout, file)
                if file not in places and place.path.is_file():
                    places[file] = place
    return places


def _fill_layout(folder: Path, layout: str, file: str) -> Place:
    path, _, member = layout.format(file=file, stem=file.removesuffix(".bin")).partition("::")
    return Place(folder / path, member)


def _group_by_path(places: Mapping[str, Place]) -> dict[Path, dict[str, str]]:
    """Group by file, ``{path: {file: member}}``, so that an archive is read once."""
    groups: dict[Path, dict[str, str]] = {}
    for file, (path, member) in places.items():
        groups.setdefault(path, {})[file] = member
    return groups


def _read(source: Source, path: Path, members: Mapping[str, str]) -> dict[str, bytes]:
    """Return the checked content of the files at `path`; a ``ValueError`` says what is wrong with it.

    The hash of an archive or pickle is checked before it is opened, so no foreign one is ever parsed.
    """
    if packed := source.packed_sha256.get(path.name):
        with path.open("rb") as opened:  # hash and read the same file, even if another one gets its name meanwhile
            _check_sha256(path.name, hashlib.file_digest(opened, "sha256").hexdigest(), packed)
            opened.seek(0)
            content = read_members(opened, members.values()) if any(members.values()) else {"": opened.read()}
            raw = {file: content[member] for file, member in members.items()}
    else:
        raw = {file: read_file(path, source.size(file)) for file in members}
    for file, member in members.items():
        if packed and not (member or path.name).endswith(".bin"):
            raw[file] = convert_cifar_pickle(raw[file])
        _check_sha256(f"the content of {file}", hashlib.sha256(raw[file]).hexdigest(), source.sha256[file])
    return raw


def _check_sha256(name: str, digest: str, expected: str) -> None:
    if digest != expected:
        raise ValueError(f"the SHA-256 of {name} is {digest[:12]}... and not {expected[:12]}...")


def _parse(
    source: Source, raw: Mapping[str, bytes], files: tuple[str, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if files[0].endswith(".bin"):
        images, labels = (np.concatenate(part) for part in zip(*(parse_cifar(raw[f]) for f in files), strict=True))
    else:
        images, labels = (parse_idx(raw[f]) for f in files)
    return images.reshape(-1, *source.image_shape), labels


def _download(source: Source, data_dir: Path) -> None:
    """Fetch what is missing; another process may have fetched it while this one waited for the lock."""
    missing = set(source.files) - set(_find_places(source, [data_dir]))
    wanted = {file: _fill_layout(data_dir, source.download, file) for file in source.files if file in missing}
    remedy = (
        "Put that file at {target}, or name a folder that holds the originals with --data.mirror DIR,\n"
        "or use the sample that needs no download: --data FashionMNISTSample."
    )
    for target, members in _group_by_path(wanted).items():
        fetch(
            [url.format(name=target.name) for url in source.urls],
            target,
            lambda part, members=members: _read(source, part, members),  # type: ignore[misc]
            limit=sum(source.size(file) for file in members),  # compressed, it is shorter
            remedy=remedy.format(target=target),
        )
