"""The worked examples: their numbers against torch and the notes, their pictures, and the command that prints them."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_runs import Cli

from cnnkit.classroom.autoencoder import Autoencoder, train_autoencoder
from cnnkit.classroom.drawings import SLIDES, Slide
from cnnkit.classroom.exercise import A, B, solve
from cnnkit.classroom.lessons import LESSONS
from cnnkit.data.store import open_sample
from cnnkit.errors import UserError
from cnnkit.reporting.figures import png_bytes

PRINTED = {
    "signals": ["[4, 13, 22, 15]", "[5, 14, 23, 12]", "output (8, 5, 4)"],
    "exercise": [
        "21 29 36",
        "  21  50  86  65  36",
        "  60  75 147  93  78",
        "  483",
        "E[0][0] = 21 + 50 + 86 + 35 - 34 + 43 + 60 + 75 + 147 = 483",
    ],
    "pooling": ["     0 1100    0", "   252.5 277.75  25.25"],
    "matrix": ["36 of 4x16 = 64", "100 of 16x16 = 256", "10 parameters, the dense layer 68", "the dense layer 272"],
    "sliding": ["(5 + 2*1 - 3) / 2 + 1 = 3", "transposed, stride 2, padding 1: 2*(3 - 1) + 3 - 2*1 = 5"],
    "parameters": ["10,000,000 weights", "15,200 parameters", "100x100", "150,000,000 MACs", "138,240,000 MACs"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_the_numbers_of_the_notes_are_printed(name: str) -> None:
    text = "\n".join(LESSONS[name]().lines)
    assert [number for number in PRINTED[name] if number not in text] == []


def test_the_exercise_is_solved_as_torch_solves_it() -> None:
    solution, image = solve(), A.double()[None, None]
    pooled = F.max_pool2d(image, 2)
    whole = F.conv2d(pooled, B.double()[None, None], padding=2)
    assert solution.C.tolist() == pooled[0, 0].tolist() == [[21, 29, 36], [14, 16, 14], [25, 12, 28]]
    assert torch.equal(solution.padded, F.pad(solution.C, (2, 2, 2, 2)))
    assert solution.D.tolist() == whole[0, 0].tolist()
    assert solution.D[0].tolist() == [21, 50, 86, 65, 36]
    assert solution.E.tolist() == F.conv2d(whole, B.double()[None, None], stride=3)[0, 0].tolist() == [[483]]
    assert torch.equal(B, B.flip(0, 1))


@pytest.mark.parametrize("slide", SLIDES, ids=Slide.describe)
def test_a_slide_has_the_size_that_torch_gives(slide: Slide) -> None:
    layer = (torch.nn.ConvTranspose2d if slide.transposed else torch.nn.Conv2d)(1, 1, slide.k, slide.s, slide.p)
    assert layer(torch.zeros(1, 1, slide.i, slide.i)).shape == (1, 1, slide.o, slide.o)
    assert slide.describe().endswith(f" = {slide.o}")


def test_the_autoencoder_learns_to_give_images_back() -> None:
    store = open_sample()
    train, test = torch.as_tensor(store.train_images), torch.as_tensor(store.test_images)[:200]
    found = train_autoencoder(train, test, steps=60)
    assert found.after < 0.5 * found.mean_image < found.before
    assert found.net.encoder(torch.zeros(1, 1, 28, 28)).shape == (1, 4, 7, 7)  # a quarter of the values
    assert sum(p.numel() for p in Autoencoder().parameters()) == 2_629
    with pytest.raises(UserError, match="30x28 pixels; give multiples of 4"):
        train_autoencoder(torch.zeros(2, 1, 30, 28, dtype=torch.uint8), test)


def test_a_picture_of_each_example_that_has_one(cli: Cli) -> None:
    assert cli("classroom", "course", "matrix", "-o", "matrix.png").out.startswith("4x16 matrix")
    with Image.open("matrix.png") as picture:
        assert picture.width > picture.height > 500
    draw = LESSONS["sliding"]().draw
    assert draw is not None
    assert png_bytes(draw()).startswith(b"\x89PNG")


def test_the_examples_are_listed(cli: Cli) -> None:
    assert [line.split()[0] for line in cli("classroom", "course").out.splitlines()] == list(LESSONS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("exercises", "error: there is no example 'exercises'; did you mean exercise?"),
        ("exercise -o a.png", "error: --output: the example exercise has no picture; leave it out"),
        ("matrix -o a.jpg", "error: output is a.jpg: give a file that ends in .png"),
        ("matrix -o /proc/a.png", "error: /proc/a.png: cannot be written"),
        ("-o a.png", "error: --output draws one example: name it, one of signals"),
    ],
)
def test_a_mistake_is_told_in_a_line(cli: Cli, words: str, expected: str) -> None:
    ended = cli("classroom", "course", *words.split())
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert ended.err.startswith(expected), ended.err
    assert not list(Path().iterdir())
