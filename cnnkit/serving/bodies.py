"""The images in the body of a request, read within the limits."""

import mimetypes
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from cnnkit.data.images.source import EncodedImage
from cnnkit.serving.limits import Limits, Refused

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
    limited = Request(request.scope, _count_bytes(request, limits.body))
    if kind == _FORM:
        return await _read_form(limited, limits)
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
    if not images:
        raise Refused(422, f"there is no image in the form: {HOW}")
    return images


def _count_bytes(request: Request, limit: int) -> Any:
    """What gives a request's messages, and refuses those beyond a number of bytes."""
    refusal = Refused(413, f"the body has more than {limit:,} bytes: send a smaller image, or fewer at a time")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise refusal
    seen = 0

    async def receive() -> Any:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise refusal
        return message

    return receive
