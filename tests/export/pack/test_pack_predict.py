"""The script of a pack brings any image file to the model as cnnkit itself does, pixel by pixel."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.data.images.decode import read_image
from cnnkit.export.pack import predict


def draw(mode: str, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, size[::-1], dtype=np.uint16))
    cells = rng.integers(0, 256, (9, 7, len(Image.new(mode, (1, 1)).getbands())), dtype=np.uint8)
    bands = [Image.fromarray(cells[..., k]).resize(size) for k in range(cells.shape[2])]
    return Image.merge(mode, bands) if len(bands) > 1 else bands[0].convert(mode)


def describe(channels: int, rule: str, size: tuple[int, int] = (32, 24)) -> dict:
    return {"in_channels": channels, "image_size": list(size), "resize": rule, "max_pixels": 10**6}


@pytest.mark.parametrize("rule", ["crop", "squash", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("RGB", "jpg"), ("CMYK", "jpg"), ("L", "jpg"), ("RGBA", "png"), ("LA", "png"), ("1", "png"),
     ("I;16", "png"), ("RGB", "webp")],
)  # fmt: skip
def test_pixels_are_those_of_cnnkit(tmp_path: Path, mode: str, suffix: str, channels: int, rule: str) -> None:
    for number, size in enumerate([(301, 200), (24, 32), (90, 400), (11, 9)]):
        file = tmp_path / f"{number}.{suffix}"
        exif = Image.Exif()
        exif[predict.ORIENTATION] = (1, 6, 3, 8)[number]
        draw(mode, size).save(file, exif=exif)
        expected = read_image(file, channels, (32, 24), rule).numpy()  # type: ignore[arg-type]
        assert np.array_equal(predict.read_pixels(file, describe(channels, rule)), expected), size


def test_palettes_with_a_transparent_color_are_blended_with_white(tmp_path: Path) -> None:
    image = draw("RGB", (40, 40)).quantize(8)
    image.save(tmp_path / "a.png", transparency=3)
    expected = read_image(tmp_path / "a.png", 3, (32, 24)).numpy()
    assert np.array_equal(predict.read_pixels(tmp_path / "a.png", describe(3, "crop")), expected)
    assert (expected == 255).any()


def test_what_cannot_be_read_rightly_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    Image.new("L", (1001, 1000)).save(tmp_path / "large.png")
    (tmp_path / "drawing.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    (tmp_path / "cut.png").write_bytes((tmp_path / "large.png").read_bytes()[:60])
    for name in ("float.tif", "large.png", "drawing.png", "cut.png", "missing.png"):
        with pytest.raises((ValueError, OSError)):
            predict.read_pixels(tmp_path / name, describe(1, "crop"))


def test_labels_are_those_that_reach_their_threshold() -> None:
    row, names = np.array([0.6, 0.3, 0.5]), ["a", "b", "c"]
    assert predict.choose_labels(row, {"class_names": names}) == ["a"]
    assert predict.choose_labels(row, {"class_names": names, "thresholds": [0.7, 0.3, 0.5]}) == ["b", "c"]


def test_a_name_is_one_line_on_the_terminal() -> None:
    assert [predict.show(name) for name in ("a é", "two\nlines", "\u202ea", "\udce4")] == [
        *("a é", r'"two\nlines"', r'"\u202ea"', r'"\udce4"')
    ]


def test_the_check_fails_for_another_probability_count_or_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw("L", (24, 32)).save(tmp_path / "a.png")
    monkeypatch.setattr(predict, "HERE", tmp_path)
    check = {"tolerance": 1e-4, "class_names": ["a", "b"], "images": [{"file": "a.png", "probabilities": [0.25, 0.75]}]}
    (tmp_path / "check.json").write_text(json.dumps(check))

    def run(*row: float, names: str = "ab") -> int:
        description = {**describe(1, "crop"), "class_names": list(names)}
        return predict.run_check(description, lambda pixels: np.array([row]))

    assert run(0.25, 0.75) == run(0.25009, 0.75) == 0
    assert run(0.2502, 0.75) == run(0.25, 0.75, 0.0) == run(0.25, float("nan")) == 1
    assert run(0.25, 0.75, names="ba") == 1, "swapped classes"
    (tmp_path / "check.json").write_text(json.dumps({**check, "images": []}))
    assert run(0.25, 0.75) == 1, "no image proves nothing"
