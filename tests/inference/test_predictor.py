"""`cnnkit.load`: what `predict` and `explain` say, for images in any form."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parsed_page import Parsed
from PIL import Image
from prediction_table import read_table
from small_runs import Cli

import cnnkit
from cnnkit import MLP, FashionMNISTSample, GoogLeNet, ResNet
from cnnkit.cli.commands.explain import images as explained
from cnnkit.data.images.source import EncodedImage
from cnnkit.errors import UserError
from cnnkit.inference.predictor import Predictor
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.inference.trained_net import TrainedNet
from cnnkit.runs import RunFolder

NAMES = FashionMNISTSample().class_names


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return FashionMNISTSample().open().test_images[:10].clone()


@pytest.fixture(scope="module")
def predictor(trained_once: RunFolder) -> Predictor:
    return cnnkit.load(trained_once.path)


@pytest.fixture
def photos(cli: Cli, pixels: torch.Tensor) -> Path:
    Path("photos").mkdir()
    for k, image in enumerate(pixels):
        Image.fromarray(image[0].numpy()).save(f"photos/{k}.png")
    Image.effect_noise((90, 40), 90).convert("RGB").save("photos/wide.jpg")
    return Path("photos")


@pytest.mark.parametrize(("batch_size", "tta"), [(64, None), (3, "flip_shift")])
def test_files_get_the_row_that_predict_writes(
    cli: Cli, photos: Path, trained_once: RunFolder, batch_size: int, tta: Any
) -> None:
    words = ["--batch_size", str(batch_size), *(["--tta", tta] if tta else [])]
    assert cli("predict", "--run", str(trained_once), "--images", "photos", *words).code == 0
    rows = read_table()
    found = cnnkit.load(trained_once.path, batch_size=batch_size, tta=tta).predict("photos")
    assert len(rows) == len(found) == 11
    for row, each in zip(rows, found, strict=True):
        assert (row["path"], row["class"], row["probability"]) == (each.image, each.label, f"{each.probability:.6f}")
        top = [(row[f"class_{k}"], row[f"probability_{k}"]) for k in range(1, 6)]
        assert top == [(name, f"{share:.6f}") for name, share in each.top()]
        assert each.probabilities.sum() == pytest.approx(1, abs=1e-6)
    listed = cnnkit.load(str(trained_once), batch_size=batch_size, tta=tta).predict(sorted(photos.iterdir()))
    assert np.array_equal(listed.probabilities, found.probabilities)


def test_every_form_of_the_same_pixels_gives_the_same_bits(
    photos: Path, pixels: torch.Tensor, predictor: Predictor
) -> None:
    files = [f"photos/{k}.png" for k in range(10)]
    expected = predictor.predict(files).probabilities
    array = pixels.numpy()
    forms = {
        "PIL": [Image.open(file) for file in files],
        "tensor of all": pixels,
        "arrays (H, W)": [image[0] for image in array],
        "arrays (H, W, 1)": [image[0][..., None] for image in array],
        "array (N, H, W, 1)": array.transpose(0, 2, 3, 1),
        "array (N, H, W, 3)": array.transpose(0, 2, 3, 1).repeat(3, 3),
        "files in memory": [EncodedImage(file, Path(file).read_bytes()) for file in files],
        "a view": pixels.flip(3).flip(3)[:, :, ::1],
        "mixed": [files[0], Image.open(files[1]), array[2][0], *pixels[3:]],
    }
    for name, images in forms.items():
        assert np.array_equal(predictor.predict(images).probabilities, expected), name
    single = [files[0], Path(files[0]), Image.open(files[0]), array[0][0], pixels[0]]
    alone = predictor.predict(files[:1]).probabilities
    for image in single:
        assert np.array_equal(predictor.predict(image).probabilities, alone)


def test_images_of_another_size_are_resized_as_files_are(cli: Cli, predictor: Predictor) -> None:
    for mode in ("RGB", "L", "RGBA", "P", "I;16"):
        noise = Image.effect_noise((90, 47), 90)
        image = noise.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(noise).astype(np.uint16) * 200)
        image.save("a.png")
        expected = predictor.predict("a.png").probabilities
        assert np.array_equal(predictor.predict(image).probabilities, expected), mode
        if mode in ("RGB", "L"):
            assert np.array_equal(predictor.predict(np.asarray(image)).probabilities, expected)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise.save("turned.png", exif=exif)
    turned = predictor.predict("turned.png").probabilities
    assert np.array_equal(predictor.predict(Image.open("turned.png")).probabilities, turned)
    assert np.array_equal(predictor.predict(noise.transpose(Image.Transpose.ROTATE_270)).probabilities, turned)


MISTAKES: list[tuple[Any, str]] = [
    (np.zeros((28, 28)), "the array holds float64, whose range is not known: give uint8 pixels from 0 to 255"),
    (torch.zeros(1, 28, 28), "the tensor holds float32"),
    (np.zeros((28, 28), np.int64), "the array holds int64"),
    (np.zeros((3, 28, 27), np.uint8), "channels come last in an array: array.transpose(1, 2, 0)"),
    (torch.zeros(28, 27, 3, dtype=torch.uint8), "channels come first in a tensor: tensor.permute(2, 0, 1)"),
    (np.zeros((28, 28, 4), np.uint8), "for transparency or CMYK give a PIL image"),
    (np.zeros((9, 28, 28), np.uint8), "several gray images need a channel: array[..., None]"),
    (np.zeros(28, np.uint8), "the array has the shape (28,): give (H, W), (H, W, C) or (N, H, W, C)"),
    (np.zeros((0, 28, 28, 1), np.uint8), "there is no image in it"),
    ([np.zeros((2, 28, 28, 1), np.uint8)], "image 0 of the list has the shape (2, 28, 28, 1): give one image each"),
    ([], "no images: give file names"),
    (3, "image 0 is a int: give file names, PIL images"),
    ({"a": 1}, "image 0 is a dict"),
    ("nothing.png", "nothing.png: no such file or folder"),
]


@pytest.mark.parametrize(("images", "expected"), MISTAKES, ids=[text for _, text in MISTAKES])
def test_what_is_ambiguous_is_refused(cli: Cli, predictor: Predictor, images: Any, expected: str) -> None:
    for use in (predictor.predict, predictor.embed, predictor.explain):
        with pytest.raises(UserError, match=re.escape(expected)) as raised:
            use(images)
        assert len(str(raised.value).splitlines()) == 1


def test_a_broken_file_is_named(cli: Cli, predictor: Predictor) -> None:
    Path("a.png").write_text("hello")
    with pytest.raises(UserError, match=r"^a\.png: not an image"):
        predictor.predict("a.png")


def test_features_are_what_the_head_gets(predictor: Predictor, pixels: torch.Tensor) -> None:
    heads = [module for module in predictor.net.modules() if isinstance(module, torch.nn.Linear)]
    seen: list[torch.Tensor] = []
    handle = heads[-1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    with torch.inference_mode():
        logits = predictor.net((pixels.float() / 255 - 0.2860) / 0.3530)
    handle.remove()
    found = predictor.embed(pixels)
    assert found.shape == (10, heads[-1].in_features)
    assert found.dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(found), seen[0])
    torch.testing.assert_close(heads[-1](torch.from_numpy(found)), logits)
    assert not heads[-1]._forward_pre_hooks
    with pytest.raises(UserError, match="head is 'nothing': CNN has no such part"):
        predictor.embed(pixels, head="nothing")


@pytest.mark.parametrize("kind", [MLP, GoogLeNet, ResNet], ids=lambda kind: kind.__name__)
def test_the_head_of_any_net_is_found(kind: Any, pixels: torch.Tensor) -> None:
    net = kind(in_channels=1, num_classes=10, image_size=28).eval()
    data = Preprocessing(list(NAMES), 1, 28, [0.5], [0.25], "crop")
    predictor = Predictor(TrainedNet(net), data, Path("a.ckpt"))
    head = net.get_submodule({"MLP": "classifier", "GoogLeNet": "classifier", "ResNet": "linear"}[kind.__name__])
    with torch.inference_mode():
        logits = head(torch.from_numpy(predictor.embed(pixels[:2])))
        torch.testing.assert_close(logits, net((pixels[:2].float() / 255 - 0.5) / 0.25))


@pytest.mark.slow
def test_explanations_are_those_of_the_command(
    cli: Cli, photos: Path, trained_once: RunFolder, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    original = explained.attribution_maps
    monkeypatch.setattr(explained, "attribution_maps", lambda *given: seen.append(original(*given)) or seen[-1])
    for words, options in (([], {}), (["--class", NAMES[3]], {"label": NAMES[3]})):
        seen.clear()
        ended = cli("explain", "--run", str(trained_once), "--images", "photos", "-o", "why", *words)
        assert ended.code == 0, ended.err
        found = predictor.explain("photos", **options)
        assert len(found) == 11
        for method in seen[0]:
            of_command = torch.cat([maps[method] for maps in seen])
            assert torch.equal(torch.stack([torch.from_numpy(each.maps[method]) for each in found]), of_command)
        assert [each.label for each in found] == [options.get("label", each.prediction.label) for each in found]
    [quick] = predictor.explain("photos/0.png", quick=True)
    assert list(quick.maps) == ["HiResCAM"]
    np.testing.assert_allclose(quick.maps["HiResCAM"], predictor.explain("photos/0.png")[0].maps["HiResCAM"], atol=1e-6)
    assert found[0]._repr_png_().startswith(b"\x89PNG")
    assert found[0].pixels.shape == (28, 28, 1)
    with pytest.raises(UserError, match="class 'Boot' is none of the net's; did you mean"):
        predictor.explain("photos", label="Boot")
    with pytest.raises(UserError, match="class 99 is none of the net's"):
        predictor.explain("photos", label=99)  # type: ignore[arg-type]


def test_a_run_is_named_as_for_the_commands(
    trained_once: RunFolder, monkeypatch: pytest.MonkeyPatch, pixels: torch.Tensor
) -> None:
    monkeypatch.chdir(trained_once.path.parents[2])
    expected = cnnkit.load(trained_once.path)
    for run in ("runs/small", "small", "runs", str(trained_once.best), trained_once.best):
        assert cnnkit.load(run).path.resolve() == expected.path.resolve()
    last = cnnkit.load("small", "last")
    assert last.path.name == "last.ckpt"
    of_file = cnnkit.load(trained_once.last).predict(pixels).probabilities
    assert np.array_equal(last.predict(pixels).probabilities, of_file)
    mistakes: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        (("nothing",), {}, "nothing: no such run folder"),
        (("nothing.ckpt",), {}, "nothing.ckpt: no such checkpoint"),
        (("small", "nothing"), {}, "nothing: no such checkpoint; the run has best.ckpt, last.ckpt"),
        ((trained_once.best, "last"), {}, "is a checkpoint itself"),
        (("https://example.org/a.ckpt",), {}, "read from local files only"),
        (("small",), {"tta": "ten_crop"}, "tta is 'ten_crop': choose one of none, flip"),
        (("small",), {"batch_size": 0}, "batch_size is 0: give a whole number from 1"),
        (("small",), {"batch_size": "8"}, "batch_size is '8': give a whole number from 1"),
        (("small",), {"device": "gpu"}, "device is 'gpu': "),
    ]
    for given, options, text in mistakes:
        with pytest.raises(UserError, match=re.escape(text)):
            cnnkit.load(*given, **options)


def test_predictions_show_themselves(predictor: Predictor, pixels: torch.Tensor) -> None:
    found = predictor.predict(torch.cat([pixels] * 3))
    lines = repr(found).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("image 0 ")
    assert found.labels[0] in lines[0]
    assert lines[-1] == "… and 10 more"
    page = Parsed(found._repr_html_())
    assert page.texts["th"] == ["image", "class", "", "next", "", "next", ""]
    assert len(page.texts["td"]) == 20 * 7
    assert page.texts["td"][1] == found.labels[0]
    assert [row["class"] for row in found.rows()] == found.labels == [each.label for each in found]
    assert len(found[5:8]) == 3
    assert found[-1].image == "image 29"
    assert f"{found[0].probability:.1%}" in repr(found[0])
    assert repr(predictor).startswith("<CNN of ")
    assert "1x28x28 pixels to 10 classes" in repr(predictor)
