"""The server's addresses."""

import asyncio
import base64
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

import cnnkit
from cnnkit.data.images.source import EncodedImage
from cnnkit.inference.predictor import Predictor
from cnnkit.inference.results import ImageExplanation, Prediction
from cnnkit.serving import heat_map
from cnnkit.serving.bodies import HOW
from cnnkit.serving.descriptions import describe_images, describe_parameter
from cnnkit.serving.gate import Gate
from cnnkit.serving.limits import Batching, Limits, Refused
from cnnkit.serving.metrics import CONTENT_TYPE
from cnnkit.serving.service import Service

_PAGE = Path(__file__).with_name("page.html")
# The page is one file: it needs its own script and style, images that it makes, and this server's answers.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PATHS = {
    **dict.fromkeys(("/", "/health", "/metrics", "/openapi.json"), "GET"),
    **dict.fromkeys(("/predict", "/explain"), "POST"),
}
_EXPLAIN = describe_images(
    describe_parameter("class", {"type": "string", "description": "to explain; by default the predicted one"}),
    describe_parameter("format", {"type": "string", "enum": ["json", "png"], "default": "json"}),
)


def make_app(
    predictor: Predictor,
    limits: Limits | None = None,
    batching: Batching | None = None,
    hosts: Collection[str] | None = None,
) -> Gate:
    """Make the server's application (ASGI).

    Args:
        predictor: the trained net.
        limits: what a request may take.
        batching: how images that wait are predicted together.
        hosts: names that a request may be for; None: any.
    """
    service = Service(predictor, limits or Limits(), batching or Batching())

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        async with service.run():
            yield

    # Its pages about the addresses load their scripts from elsewhere; /openapi.json and docs/serving.md describe them.
    app = FastAPI(title="cnnkit", version=cnnkit.__version__, docs_url=None, redoc_url=None, lifespan=run)
    _add_answers(app, service)
    _add_errors(app)
    return Gate(app, service.metrics, _PATHS, hosts)


def _add_answers(app: FastAPI, service: Service) -> None:
    facts = {"status": "ready", "cnnkit": cnnkit.__version__, **service.describe()}
    page = _PAGE.read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def show_page(request: Request) -> Response:
        """Show a page to drop or draw an image."""
        _read_query(request)
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(page, headers=headers)

    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def show_health(request: Request) -> Response:
        """Say that the server is ready, and describe its net."""
        _read_query(request)
        return JSONResponse(facts)

    @app.get("/metrics")
    async def show_metrics(request: Request) -> Response:
        """Give the server's figures in the text format of Prometheus."""
        _read_query(request)
        return Response(service.metrics.render(), media_type=CONTENT_TYPE)

    @app.post("/predict", openapi_extra=describe_images())
    async def predict(request: Request) -> Response:
        """Predict the classes of one image or several."""
        _read_query(request, "name")
        images, found = await service.predict(request)
        return JSONResponse({"images": [_describe(*pair) for pair in zip(images, found, strict=True)]})

    @app.post("/explain", openapi_extra=_EXPLAIN)
    async def explain(request: Request) -> Response:
        """Show which pixels speak for a class of one image."""
        query = _read_query(request, "name", "class", "format")
        if (form := query.get("format", "json")) not in ("json", "png"):
            raise Refused(422, f"format is {form!r}: choose json or png")
        found = await service.explain(request, query.get("class"))
        if form == "png":
            picture = await asyncio.to_thread(lambda: heat_map.encode_png(heat_map.draw_overlay(found)))
            return Response(picture, media_type="image/png")
        return JSONResponse(await asyncio.to_thread(_describe_map, found))


def _describe(image: EncodedImage, found: Prediction) -> dict[str, Any]:
    """Describe a prediction; a probability has as many digits as its float32."""
    probabilities = {name: float(str(p)) for name, p in zip(found.names, found.probabilities, strict=True)}
    if found.thresholds is not None:
        return {"name": image.name, "classes": list(found.labels), "probabilities": probabilities}
    best = {"class": found.label, "probability": probabilities[found.label]}
    return {"name": image.name, **best, "probabilities": probabilities}


def _describe_map(found: ImageExplanation) -> dict[str, Any]:
    name, values = heat_map.choose_map(found)

    def encode(image: Any) -> str:
        return f"data:image/png;base64,{base64.b64encode(heat_map.encode_png(image)).decode('ascii')}"

    return {
        "class": found.label,
        "method": name,
        "largest": float(str(values.max())),
        "image": encode(heat_map.draw_pixels(found)),
        "heat_map": encode(heat_map.color_map(name, values)),
    }


def _read_query(request: Request, *known: str) -> dict[str, str]:
    """Return the parameters of the address.

    Raises:
        Refused: one is unknown, or given twice.
    """
    pairs = request.query_params.multi_items()
    for name, _ in pairs:
        if name not in known:
            raise Refused(422, f"unknown parameter {name!r}; {request.url.path} has {', '.join(known) or 'none'}")
    if len(dict(pairs)) < len(pairs):
        raise Refused(422, "a parameter is given twice")
    return dict(pairs)


def _add_errors(app: FastAPI) -> None:
    """Answer each error with a sentence, and none with a traceback, which goes to the server's stderr."""

    @app.exception_handler(Refused)
    async def refuse(request: Request, error: Refused) -> Response:
        return JSONResponse({"error": error.sentence}, error.status, dict(error.headers))

    @app.exception_handler(ClientDisconnect)
    async def drop(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it; the metrics count it

    @app.exception_handler(HTTPException)
    async def say(request: Request, error: HTTPException) -> Response:
        sentence, path = str(error.detail), request.url.path
        if error.status_code == 404:
            sentence = f"there is no {path}; there are {', '.join(_PATHS)}"
        elif error.status_code == 405:
            sentence = f"{path} takes {_PATHS.get(path)}, not {request.method}" + (f": {HOW}" if "p" in path else "")
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def apologize(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": "the server failed at this request; its log says why"}, 500)
