"""A server in a thread, a net without training, and a client without a library of its own."""

import contextlib
import http.client
import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from cnnkit import CNN
from cnnkit.inference.predictor import Predictor
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.inference.trained_net import TrainedNet
from cnnkit.serving.app import make_app
from cnnkit.serving.gate import LOCAL
from cnnkit.serving.limits import Batching, Limits
from cnnkit.serving.running import make_server, open_socket

NAMES = ("cat", "dog", "bird", "fish & chips", "hörnchen")
RAW = {"Content-Type": "application/octet-stream"}


class Answer(NamedTuple):
    status: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.content)

    @property
    def error(self) -> str:
        """The one sentence of a refusal."""
        found = self.json
        assert list(found) == ["error"]
        assert len(found["error"].splitlines()) == 1
        assert "Traceback" not in found["error"]
        return str(found["error"])


class Client(NamedTuple):
    port: int

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            found = connection.getresponse()
            kept = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, found.read(), kept)

    def post(self, image: bytes, path: str = "/predict") -> Answer:
        return self.ask("POST", path, image, RAW)

    def send(self, content: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes until the server closes it."""
        import socket

        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(content)
            parts = []
            while part := connection.recv(1 << 16):
                parts.append(part)
            return b"".join(parts)


def make_predictor(
    channels: int = 3, size: int = 16, *, several_labels: bool = False, kind: Any = Predictor, net: Any = None
) -> Any:
    """A small net with random weights: its classes mean nothing, but each image has its own probabilities."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = (net or CNN(channels, len(NAMES), size, channels=[4, 8], hidden_sizes=[16])).eval()
        for weights in net.parameters():  # large ones, so that images differ
            torch.nn.init.normal_(weights, std=0.5)
    data = Preprocessing(list(NAMES), channels, size, [0.2] * channels, [0.25] * channels, "crop")
    thresholds = torch.tensor([0.2, 0.4, 0.5, 0.6, 0.8]) if several_labels else None
    return kind(TrainedNet(net, thresholds=thresholds), data, Path("runs/zoo/1/checkpoints/best.ckpt"))


@contextlib.contextmanager
def serving(predictor: Predictor, batching: Batching | None = None, **limits: Any) -> Iterator[Client]:
    """Serve a net within the context."""
    kept = Limits(**{"seconds": 20.0, **limits})
    with open_socket("127.0.0.1", 0) as listening:
        server = make_server(make_app(predictor, kept, batching, LOCAL), kept.seconds)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield Client(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def draw(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    """A colorful image that is like no other."""
    rough = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def make_form(
    files: Sequence[tuple[str, bytes]], fields: Mapping[str, str] | None = None
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a form with files and fields."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in (fields or {}).items()]
    parts += [f'name="f"; filename="{name}"\r\n\r\n'.encode() + content for name, content in files]
    body = b"".join(b"--edge\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--edge--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=edge"}
