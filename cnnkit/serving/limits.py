"""What the server accepts, and what it says when it does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """What one request may take.

    Args:
        body: bytes of a request's body.
        pixels: of one image, by its header; None: what the data of the training allowed.
        images: in one request.
        seconds: from the first byte of a request to its answer, and for a client to send the next header.
        queue: requests that are received, decoded or predicted at a time.
    """

    body: int = 16_000_000
    pixels: int | None = None
    images: int = 32
    seconds: float = 30.0
    queue: int = 64


@dataclass(frozen=True)
class Batching:
    """How images that wait are predicted together.

    Args:
        size: images that the net gets at a time, at most.
        wait: seconds that the first image of a batch waits for others.
    """

    size: int = 32
    wait: float = 0.002


@dataclass(eq=False)
class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        sentence: what is wrong and what to do.
        headers: besides the usual ones.
    """

    status: int
    sentence: str
    headers: Mapping[str, str] = field(default_factory=dict)
