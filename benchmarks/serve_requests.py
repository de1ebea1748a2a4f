"""The requests of the benchmark `serve`, and what must come back: images, and what hostile clients send."""

import contextlib
import http.client
import io
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cnnkit.data import FashionMNISTSample
from cnnkit.inference.predictor import Predictor

BYTES = {"Content-Type": "application/octet-stream"}
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
Headers = dict[str, str]


@dataclass(frozen=True)
class Shot:
    """One request and what must come back.

    Args:
        name: its kind.
        send: sends it to a port and returns status and body; status 0 where no answer is needed.
        statuses: those that are right.
        expected: the probabilities of its images (N, K).
    """

    name: str
    send: Callable[[int], tuple[int, bytes]]
    statuses: tuple[int, ...] = (200,)
    expected: np.ndarray | None = None


def make_shots(predictor: Predictor, count: int, slow: int) -> list[Shot]:
    """Requests in an order that is always the same: five with images, one hostile.

    Args:
        predictor: says what is right.
        count: of requests.
        slow: how many of them have a body that never ends.
    """
    store = FashionMNISTSample().open()
    pixels = [image[0].numpy() for image in store.test_images[:96]]
    images = [Image.fromarray(np.kron(each, np.ones((k % 7 + 1,) * 2, np.uint8))) for k, each in enumerate(pixels)]
    files = [encode(image, ("PNG", "JPEG", "TIFF", "WEBP", "BMP")[k % 5]) for k, image in enumerate(images)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{k:03}") for k in range(len(files))]
        for path, content in zip(paths, files, strict=True):
            path.write_bytes(content)
        right = predictor.predict(paths).probabilities
    enemies = make_enemies(files[0])
    shots = []
    for number in range(count):
        first = number * 7 % len(files)
        if number % 6 == 5:
            shots.append(enemies[number // 6 % len(enemies)])
        elif number % 6 == 4:
            chosen = [(first + k) % len(files) for k in range(1 + number // 6 % 8)]
            body, headers = make_form([files[k] for k in chosen])
            shots.append(Shot("several images", post("/predict", body, headers), expected=right[chosen]))
        elif number % 60 == 3:
            shots.append(Shot("heat map", post("/explain", files[first], BYTES)))
        else:
            shots.append(Shot("one image", post("/predict", files[first], BYTES), expected=right[[first]]))
    endless = Shot("a body that never ends", raw(HEAD + b"Content-Length: 9999\r\n\r\nabc"), (408,))
    for k in range(slow):
        shots[(k + 1) * count // (slow + 2)] = endless
    return shots


def make_enemies(image: bytes) -> list[Shot]:
    """One request of each hostile kind, given a PNG."""
    form, headers = make_form([image])
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(image)
    return [
        Shot("truncated", post("/predict", image[: len(image) // 2], BYTES), (422,)),
        Shot("bomb", post("/predict", make_bomb(), BYTES), (413,)),
        Shot("text", post("/predict", b"hello" * 1000, BYTES), (422,)),
        Shot("noise", post("/predict", image[:8] + bytes(range(256)) * 40, BYTES), (422,)),
        Shot("zero bytes", post("/predict", b"", BYTES), (422,)),
        Shot("wrong type", post("/predict", b'{"image": 1}', {"Content-Type": "application/json"}), (415,)),
        Shot("half a form", post("/predict", form[: len(form) // 2], headers), (400,)),
        Shot("too many images", post("/predict", *make_form([image] * 33)), (413,)),
        Shot("unknown class", post("/explain?class=x", image, BYTES), (422,)),
        Shot("unknown path", post("/predictions", image, BYTES), (404,)),
        Shot("another host", post("/predict", image, BYTES | {"Host": "evil.example"}), (403,)),
        Shot("large body", raw(HEAD + b"Content-Length: 99999999\r\n\r\n"), (413,)),
        Shot("huge header", raw(HEAD + b"A: " + b"a" * 300_000, broken=True), (0, 400)),
        Shot("no HTTP", raw(b"\x16\x03\x01 hello\r\n\r\n"), (400,)),
        Shot("half-sent body", hang_up(whole + image[:50])),
        Shot("gone at once", hang_up(whole + image)),
        Shot("half-sent header", hang_up(HEAD[:30])),
    ]


def post(path: str, body: bytes, headers: Headers) -> Callable[[int], tuple[int, bytes]]:
    """An ordinary request on a connection of its own."""

    def send(port: int) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    return send


def raw(content: bytes, *, broken: bool = False) -> Callable[[int], tuple[int, bytes]]:
    """Bytes as they are; with ``broken`` the server may close the connection before it has all of them."""

    def send(port: int) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            try:
                connection.sendall(content)
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                return answer.status, answer.read()
            except ConnectionError:
                if broken:
                    return 0, b""  # closed while the rest was still on its way
                raise

    return send


def hang_up(content: bytes) -> Callable[[int], tuple[int, bytes]]:
    """Bytes, and then the client is gone."""

    def send(port: int) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(content)
        return 200, b""

    return send


def encode(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def make_form(files: Sequence[bytes]) -> tuple[bytes, Headers]:
    parts = [b'--edge\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n' + each for each in files]
    return b"\r\n".join([*parts, b"--edge--\r\n"]), {"Content-Type": "multipart/form-data; boundary=edge"}


def make_bomb() -> bytes:
    """A PNG of some bytes whose header says 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9999)))
