"""The images in the body of a request, read within the limits."""

import mimetypes
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from cnnkit.data.images.source import EncodedImage
from cnnkit.serving.limits import Limits, Refused

_TAIL = 1024  # bytes at the end of a form that hold its last line
_FORM, _BYTES = "multipart/form-data", "application/octet-stream"
HOW = "send one image with Content-Type image/* or application/octet-stream, or files as multipart/form-data"


async def read_images(request: Request, limits: Limits) -> list[EncodedImage]:
    """Read the images of a request: one as its whole body, or the files of a form.

    Args:
        request: its query may give the body a ``name``, such as that of its file.
        limits: of bytes, counted while they arrive, and of images.

    Raises:
        Refused: the body is too large, holds too many images or none, or is of another type.
        ClientDisconnect: the client has gone.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM and kind != _BYTES and not kind.startswith("image/"):
        found = f"the Content-Type is {kind}" if kind else "there is no Content-Type"
        raise Refused(415, f"{found}: {HOW}")
    if encoding := request.headers.get("content-encoding", "").strip():
        raise Refused(415, f"the Content-Encoding is {encoding}: send the body as it is")
    arriving = _Arriving(request, limits.body)
    limited = Request(request.scope, arriving.receive)
    if kind == _FORM:
        images = await _read_form(limited, limits)
        _check_end(request, arriving.tail)
        if not images:
            raise Refused(422, f"there is no image in the form: {HOW}")
        return images
    name = request.query_params.get("name") or f"image{'' if kind == _BYTES else mimetypes.guess_extension(kind) or ''}"
    if not (content := await limited.body()):
        raise Refused(422, f"the body is empty: {HOW}")
    return [EncodedImage(name, content)]


async def _read_form(request: Request, limits: Limits) -> list[EncodedImage]:
    try:
        async with request.form(max_files=limits.images, max_fields=1) as form:
            images = []
            for field, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    raise Refused(422, f"the form's field {field!r} is no file: send files alone, each with its name")
                images.append(EncodedImage(value.filename or field, await value.read()))
    except HTTPException as error:  # of Starlette's parser
        if "Too many files" in str(error.detail):
            raise Refused(413, f"more than {limits.images} images: send fewer at a time") from None
        raise Refused(400, f"the form cannot be read ({str(error.detail).rstrip('.')}): {HOW}") from None
    return images


def _check_end(request: Request, tail: bytes) -> None:
    """Refuse a form without its end: Starlette's parser drops the file that it was in."""
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if b"--" + boundary + b"--" not in tail:
        raise Refused(400, "the form has no end: send it whole")


class _Arriving:
    """A body that is refused as soon as it has more bytes than a limit.

    Attributes:
        tail: its last bytes.
    """

    def __init__(self, request: Request, limit: int) -> None:
        self._receive, self._limit, self._seen, self.tail = request.receive, limit, 0, b""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise self._refuse()

    async def receive(self) -> Any:
        """Return the next message of the request."""
        message = await self._receive()
        body = message.get("body", b"")
        self._seen += len(body)
        if self._seen > self._limit:
            raise self._refuse()
        self.tail = (self.tail + body[-_TAIL:])[-_TAIL:]
        return message

    def _refuse(self) -> Refused:
        return Refused(413, f"the body has more than {self._limit:,} bytes: send a smaller image, or fewer at a time")
