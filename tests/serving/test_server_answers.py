"""What the server says of images is what the predictor says of their files."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import NAMES, RAW, Client, draw, encode, make_form, make_predictor, serving

from cnnkit import MLP
from cnnkit.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return make_predictor()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[Client]:
    with serving(predictor, body=100_000, pixels=10_000, images=4) as client:
        yield client


def png(data_url: str) -> np.ndarray:
    head, _, content = data_url.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM"])
def test_an_upload_gets_the_prediction_of_the_file(
    client: Client, predictor: Predictor, tmp_path: Path, format: str
) -> None:
    content = encode(draw(3, 97, 61), format)
    (tmp_path / "a").write_bytes(content)
    [expected] = predictor.predict(tmp_path / "a")
    body, headers = make_form([("photos/a.png", content)])
    answers = [
        client.post(content),
        client.ask("POST", "/predict?name=photos/a.png", content, {"Content-Type": f"image/{format.lower()}"}),
        client.ask("POST", "/predict", body, headers),
    ]
    for answer, name in zip(answers, ["image", "photos/a.png", "photos/a.png"], strict=True):
        assert answer.status == 200
        [found] = answer.json["images"]
        assert list(found) == ["name", "class", "probability", "probabilities"]
        assert (found["name"], found["class"]) == (name, expected.label)
        assert list(found["probabilities"]) == list(NAMES)
        np.testing.assert_allclose(list(found["probabilities"].values()), expected.probabilities, atol=1e-6)
        assert found["probability"] == max(found["probabilities"].values())


def test_a_form_of_several_images_keeps_their_order(client: Client, predictor: Predictor) -> None:
    images = [draw(k) for k in range(4)]
    answer = client.ask("POST", "/predict", *make_form([(f"{k}.png", encode(each)) for k, each in enumerate(images)]))
    found = answer.json["images"]
    assert [each["name"] for each in found] == ["0.png", "1.png", "2.png", "3.png"]
    probabilities = np.array([list(each["probabilities"].values()) for each in found])
    np.testing.assert_allclose(probabilities, predictor.predict(images).probabilities, atol=1e-6)
    assert np.abs(probabilities[:, None] - probabilities).sum(2)[~np.eye(4, dtype=bool)].min() > 1e-4


def test_several_labels_an_image_are_those_that_reach_their_thresholds() -> None:
    predictor = make_predictor(several_labels=True)
    with serving(predictor) as client:
        assert client.ask("GET", "/health").json["multilabel"] is True
        seen = set()
        for k in range(8):
            [found] = client.post(encode(draw(k))).json["images"]
            [expected] = predictor.predict(draw(k))
            assert found["classes"] == list(expected.labels)
            assert "class" not in found
            seen.add(len(found["classes"]))
    assert len(seen) > 1


def test_the_heat_map_is_that_of_the_predictor(client: Client, predictor: Predictor) -> None:
    content = encode(draw(5))
    for words, label in (("", None), ("?class=fish%20%26%20chips", "fish & chips")):
        found = client.post(content, f"/explain{words}").json
        [expected] = predictor.explain(draw(5), label)
        assert (found["class"], found["method"]) == (expected.label, "HiResCAM")
        assert np.array_equal(png(found["image"]), expected.pixels)
        values, colors = expected.maps["HiResCAM"], png(found["heat_map"])
        assert colors.shape == (*values.shape, 4)
        assert np.array_equal(np.argsort(values, axis=None)[-1:], np.argsort(colors[..., 3], axis=None)[-1:])
        assert np.all(colors[..., 3][values == 0] == 0)
        assert found["largest"] == pytest.approx(values.max(), rel=1e-5)
    picture = client.post(content, "/explain?format=png")
    assert picture.headers["content-type"] == "image/png"
    assert min(Image.open(io.BytesIO(picture.content)).size) >= 224


def test_health_describes_the_net_and_metrics_count(client: Client) -> None:
    assert client.ask("HEAD", "/health").status == 200
    facts = client.ask("GET", "/health").json
    assert facts["status"] == "ready"
    assert (facts["model"], facts["classes"], facts["no_heat_map"]) == ("zoo/1", list(NAMES), None)
    assert (facts["channels"], facts["image_size"], facts["dark_background"]) == (3, [16, 16], True)

    def count() -> dict[str, float]:
        answer = client.ask("GET", "/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return {name: float(value) for name, value in re.findall(r"^(cnnkit\S+) (\S+)$", answer.content.decode(), re.M)}

    before = count()
    client.ask("POST", "/predict", *make_form([("a", encode(draw(1))), ("b", encode(draw(2)))]))
    client.post(b"text")
    client.ask("GET", "/a/b/c")
    changed = {name: value - before.get(name, 0) for name, value in count().items()}
    assert changed["cnnkit_images_total"] == 2
    assert changed["cnnkit_batch_images_sum"] == 2
    assert changed['cnnkit_requests_total{path="/predict",status="200"}'] == 1
    assert changed['cnnkit_requests_total{path="/predict",status="422"}'] == 1
    assert changed['cnnkit_requests_total{path="other",status="404"}'] == 1
    assert changed['cnnkit_request_seconds_count{path="/predict"}'] == 2
    assert changed["cnnkit_waiting_requests"] == 0


def test_the_page_and_the_description_need_nothing_from_elsewhere(client: Client) -> None:
    page = client.ask("GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert not re.findall(r"""(?:src|href)=["']?(?!data:)\w|https?:|@import|url\(""", page.content.decode())
    paths = client.ask("GET", "/openapi.json").json["paths"]
    assert {"/predict", "/explain", "/health", "/metrics"} <= paths.keys()
    assert "multipart/form-data" in paths["/predict"]["post"]["requestBody"]["content"]


ONE = encode(draw(0))
TWO, FORM = make_form([("a.png", ONE), ("b.png", ONE)])
MISTAKES: list[tuple[str, tuple[Any, ...], int, str]] = [
    ("unknown path", ("GET", "/predct"), 404, "there is no /predct; there are /, /health"),
    ("wrong method", ("GET", "/predict"), 405, "/predict takes POST, not GET: send one image"),
    ("wrong method", ("POST", "/health", b""), 405, "/health takes GET, not POST"),
    ("no type", ("POST", "/predict", ONE), 415, "there is no Content-Type"),
    (
        "text",
        ("POST", "/predict", b"a=b", {"Content-Type": "text/plain"}),
        415,
        "the Content-Type is text/plain: send",
    ),
    (
        "JSON",
        ("POST", "/predict", b"{}", {"Content-Type": "application/json"}),
        415,
        "Content-Type is application/json",
    ),
    ("packed", ("POST", "/predict", ONE, RAW | {"Content-Encoding": "gzip"}), 415, "the Content-Encoding is gzip"),
    ("empty", ("POST", "/predict", b"", RAW), 422, "the body is empty"),
    ("text as image", ("POST", "/predict?name=a.png", b"hello", RAW), 422, "a.png: not an image of a known format"),
    ("truncated", ("POST", "/predict", ONE[:300], RAW), 422, "image: the file ends too early, or is damaged"),
    ("one byte", ("POST", "/predict", b"\x89", RAW), 422, "not an image"),
    ("raw photo", ("POST", "/predict?name=a.dng", encode(draw(0), "TIFF"), RAW), 422, "a.dng: camera raw"),
    ("unknown parameter", ("POST", "/predict?clas=a", ONE, RAW), 422, "unknown parameter 'clas'; /predict has name"),
    ("twice", ("POST", "/predict?name=a&name=b", ONE, RAW), 422, "given twice"),
    ("unknown class", ("POST", "/explain?class=dgo", ONE, RAW), 422, "class 'dgo' is none of the net's; did you mean"),
    ("unknown format", ("POST", "/explain?format=jpg", ONE, RAW), 422, "format is 'jpg': choose json or png"),
    ("two to explain", ("POST", "/explain", *make_form([("a", ONE), ("b", ONE)])), 422, "2 images: one at a time"),
    ("a form without files", ("POST", "/predict", *make_form([])), 422, "there is no image in the form"),
    ("a field", ("POST", "/predict", *make_form([("a", ONE)], {"top": "3"})), 422, "the form's field 'top' is no file"),
    ("an empty file", ("POST", "/predict", *make_form([("a.png", ONE), ("b.png", b"")])), 422, "b.png: an empty file"),
    ("no boundary", ("POST", "/predict", b"", {"Content-Type": "multipart/form-data"}), 400, "Missing boundary"),
    ("half a form", ("POST", "/predict", TWO[:99], FORM), 400, "the form has no end: send it whole"),
    ("a form cut off", ("POST", "/predict", TWO[: len(TWO) - 99], FORM), 400, "the form has no end: send it whole"),
    ("no form", ("POST", "/predict", b"hello", FORM), 400, "the form cannot be read"),
    ("too many", ("POST", "/predict", *make_form([("a", ONE)] * 5)), 413, "more than 4 images: send fewer"),
    ("too large", ("POST", "/predict", bytes(100_001), RAW), 413, "the body has more than 100,000 bytes"),
    (
        "too many pixels",
        ("POST", "/predict", encode(Image.new("1", (101, 100))), RAW),
        413,
        "101x100 pixels are more than",
    ),
    ("another host", ("GET", "/health", None, {"Host": "evil.example:80"}), 403, "for the host 'evil.example'"),
    ("no host's name", ("GET", "/health", None, {"Host": "[::1"}), 403, "for the host ''"),
    ("another site", ("POST", "/predict", ONE, RAW | {"Origin": "https://evil.example"}), 403, "'evil.example'"),
    ("a local file", ("POST", "/predict", ONE, RAW | {"Origin": "null"}), 403, "a page of another site"),
]


@pytest.mark.parametrize(
    ("request_", "status", "sentence"), [each[1:] for each in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_mistakes_are_answered_in_a_sentence(
    client: Client, request_: tuple[Any, ...], status: int, sentence: str
) -> None:
    answer = client.ask(*request_)
    assert sentence in answer.error
    assert answer.status == status
    assert client.post(ONE).status == 200


def test_own_names_and_pages_are_no_mistakes(client: Client) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]:8000", "LOCALHOST:1"):
        assert client.ask("GET", "/health", None, {"Host": host}).status == 200
    assert client.ask("POST", "/predict", ONE, RAW | {"Origin": f"http://localhost:{client.port}"}).status == 200


class Failing(Predictor):
    """Fails at dark images, but not at the black one that warms it up."""

    def predict(self, images: Any) -> Any:
        if 0 < float(images.float().mean()) < 40:
            raise RuntimeError("out of luck at /home/me/secret.py")
        return super().predict(images)


def test_an_error_of_the_net_is_one_answer_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with serving(make_predictor(kind=Failing)) as client:
        for _ in range(2):
            answer = client.post(encode(Image.new("RGB", (9, 9), (20, 20, 20))))
            assert answer.status == 500
            assert answer.error == "the server failed at this request; its log says why"
            assert client.post(ONE).status == 200
    assert "out of luck" in caplog.text


def test_a_net_without_convolutions_has_a_map_with_both_signs() -> None:
    pytest.importorskip("captum")
    predictor = make_predictor(net=MLP(3, len(NAMES), 16, hidden_sizes=[8]))
    with serving(predictor) as client:
        found = client.post(ONE, "/explain").json
    values, colors = predictor.explain(draw(0))[0].maps["occlusion"], png(found["heat_map"]).astype(int)
    assert found["method"] == "occlusion"
    assert values.min() < 0 < values.max()
    strong = np.abs(values) > 0.3 * np.abs(values).max()
    assert np.all((colors[..., 0] > colors[..., 2])[strong] == (values > 0)[strong])  # red for it, blue against it


class WithoutMaps(Predictor):
    def explain(self, *args: Any, **options: Any) -> Any:
        from cnnkit.errors import UserError

        raise UserError("model.onnx: predicts alone; name a run")


def test_a_net_without_maps_says_so(predictor: Predictor) -> None:
    with serving(make_predictor(kind=WithoutMaps)) as client:
        assert client.ask("GET", "/health").json["no_heat_map"] == "model.onnx: predicts alone; name a run"
        answer = client.post(ONE, "/explain")
        assert (answer.status, answer.error[:34]) == (501, "there is no heat map of this net: ")
        assert client.post(ONE).status == 200
