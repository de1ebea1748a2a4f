"""A data module in a notebook: its classes with their counts, and the images of the training part."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from cnnkit import FashionMNISTSample, from_arrays
from cnnkit.data import ImageDataModule

SHADES = (40, 90, 140)  # gray of every image of a class


def make_data(side: int = 12, multilabel: bool = False) -> ImageDataModule:
    classes = np.arange(90) % 3
    images = np.array(SHADES, np.uint8)[classes][:, None, None].repeat(side, 1).repeat(side, 2)
    images[:, 0, 0] = np.arange(90)  # no two are equal
    labels = np.eye(3, dtype=np.int64)[classes] if multilabel else classes
    return from_arrays(images, labels, class_names=["<a>", "b", "c"], val_size=15, test_size=15)


def read_images(html: str) -> list[np.ndarray]:
    files = re.findall(r'base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("L")) for text in files]


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_row_has_the_images_and_counts_of_its_class(multilabel: bool) -> None:
    data = make_data(multilabel=multilabel)
    html = data._repr_html_()
    for image, shade in zip(read_images(html), SHADES, strict=True):
        assert image.shape == (12, 10 * 13)
        assert {int(value) for value in image[6, 1::13]} == {shade}
    cells = [int(cell) for cell in re.findall(r"<td>(\d+)</td>", html)]
    assert np.array(cells).reshape(3, 3).sum(0).tolist() == [60, 15, 15]
    assert "&lt;a&gt;" in html
    assert "<a>" not in html


def test_large_images_are_sent_small() -> None:
    assert {image.shape for image in read_images(make_data(side=300)._repr_html_())} == {(96, 10 * 97)}


def test_text_is_one_line_and_nothing_is_opened_for_it() -> None:
    data = FashionMNISTSample()
    assert "data.setup()" in data._repr_html_()
    assert data.store is None
    assert repr(data) == "FashionMNISTSample, not set up"
    assert repr(make_data()) == "ArrayImages: 60 train, 15 val, 15 test"
