"""What ``python -m cnnkit course`` prints: worked examples, step by step, each with its picture if it has one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from cnnkit.classroom.arithmetic import conv_macs, conv_parameters, dense_parameters, output_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Lesson(NamedTuple):
    """Lines to print, and what draws the picture."""

    lines: list[str]
    draw: "Callable[[], Figure] | None" = None


def teach_signals() -> Lesson:
    """Convolution in one and in three directions, and what three channels are."""
    from cnnkit.classroom.convolution import conv1d, corr1d, corr2d, corr3d

    f, g = torch.tensor([4, 5]), torch.tensor([1, 2, 3])
    image, kernel = torch.arange(48).view(3, 4, 4), torch.ones(3, 2, 2, dtype=torch.long)
    deep = corr2d(torch.zeros(8, 7, 6), torch.zeros(8, 8, 3, 3))
    return Lesson(
        [
            f"f = {f.tolist()}, g = {g.tolist()}",
            f"convolution (f * g)[t] = sum over a of f[a] g[t - a]: {conv1d(g, f, padding=1).tolist()}",
            "  the coefficients of (4 + 5x)(1 + 2x + 3x²): f meets g from right to left",
            f"cross-correlation, sum over a of f[a] g[t + a - 1]: {corr1d(g, f, padding=1).tolist()}",
            f"3 channels, kernel (3, 2, 2): as image with channels {corr2d(image, kernel[None])[0].tolist()}",
            f"  as a volume of depth 3 {corr3d(image, kernel)[0].tolist()}",
            f"image (8, 7, 6), 8 kernels (8, 3, 3): output {tuple(deep.shape)}",
        ]
    )


def teach_exercise() -> Lesson:
    """The exercise with A and B: pooled, padded, convolved, with a stride."""
    from cnnkit.classroom.exercise import A, B, solve

    solution = solve()
    steps = {
        "A": A,
        "C = A after maximum pooling of 2x2 with stride 2; the last row and column are dropped": solution.C,
        "C in a frame of two zeros": solution.padded,
        "B": B,
        "D = C padded by 2, convolved with B; B turned by 180 degrees is B, so turning changes nothing": solution.D,
        "E = D convolved with B at stride 3: one place fits, (5 - 3) / 3 + 1, rounded down": solution.E,
    }
    lines = [line for title, matrix in steps.items() for line in (title, *_rows(matrix))]
    windows = {"C[1][1]": A[2:4, 2:4], "D[2][2]": solution.padded[2:5, 2:5], "E[0][0]": solution.D[:3, :3]}
    lines += [f"C[1][1] = max({', '.join(map(str, windows.pop('C[1][1]').flatten().tolist()))}) = {solution.C[1, 1]}"]
    for name, window in windows.items():
        products = (window * B).flatten().tolist()
        lines.append(f"{name} = {' + '.join(map(str, products)).replace('+ -', '- ')} = {sum(products)}")
    return Lesson(lines)


def teach_pooling() -> Lesson:
    """The derivative of pooling: where the gradient goes."""
    from cnnkit.classroom.pooling import PoolKind, pool2d, pool2d_gradient

    image = torch.tensor([[1, 5, 2], [5, 3, 4], [0, 4, 4]])
    upstream = torch.tensor([[1000, 100], [10, 1]])
    lines = ["image", *_rows(image), "upstream gradient of the four overlapping windows of 2x2, stride 1"]
    lines += _rows(upstream)
    kinds: tuple[PoolKind, ...] = ("max", "min", "sum", "mean", "subsampling")
    for kind in kinds:
        pooled = pool2d(image, 2, stride=1, kind=kind)
        lines += [f"{kind}: {pooled.tolist()}; gradient of the image"]
        lines += _rows(pool2d_gradient(image, upstream, 2, stride=1, kind=kind))
    return Lesson(lines)


def teach_matrix() -> Lesson:
    """A convolution as a linear layer, its transpose, and ten weights against a dense layer's."""
    from cnnkit.classroom.convolution import conv_transpose2d, corr2d
    from cnnkit.classroom.matrix import convolution_matrix, matrix_figure

    kernel, image = torch.arange(1, 10).view(3, 3), torch.arange(16).view(4, 4)
    plain, padded = convolution_matrix(kernel, 4), convolution_matrix(kernel, 4, padding=1)
    output = corr2d(image, kernel)
    lines = [f"{len(plain)}x{plain.shape[1]} matrix of a 3x3 kernel on 4x4 pixels", *_rows(plain)]
    for name, matrix in {"4x4 pixels": plain, "padding 1": padded}.items():
        rows, columns = matrix.shape
        dense = dense_parameters(columns, rows)
        lines += [
            f"{name}: {matrix.count_nonzero()} of {rows}x{columns} = {matrix.numel()} weights are not 0, 9 differ; "
            f"with a bias {conv_parameters(1, 1, 3)} parameters, the dense layer {dense}"
        ]
    lines += [
        f"matrix times pixels      {(plain @ image.flatten()).tolist()}",
        f"corr2d                   {output.flatten().tolist()}",
        f"transposed times output  {(plain.T @ output.flatten()).tolist()}",
        f"conv_transpose2d         {conv_transpose2d(output, kernel).flatten().tolist()}",
    ]
    titles = {"3x3 on 4x4: 4 x 16": plain, "with padding 1: 16 x 16": padded, "transposed: 16 x 4": plain.T}
    return Lesson(lines, lambda: matrix_figure(titles))


def teach_sliding() -> Lesson:
    """Stride, padding, and their transposed counterparts."""
    from cnnkit.classroom.drawings import SLIDES, sliding_figure

    return Lesson([slide.describe() for slide in SLIDES], sliding_figure)


def teach_parameters() -> Lesson:
    """Why convolution: parameters and work of the first layer."""
    maps = output_size(100, 5, p=2)
    dense, conv = dense_parameters(100 * 100, 1000, bias=False), conv_parameters(3, 200, 5)
    return Lesson(
        [
            f"dense, 100x100 gray pixels to 1,000 units: 100*100*1000 = {dense:,} weights, each used once",
            f"convolution, 5x5, 3 channels to 200 maps: 200*(3*5*5 + 1) = {conv:,} parameters",
            f"padding 2 keeps the maps at {maps}x{maps}: 15,000 weights at {maps * maps:,} places, "
            f"{conv_macs(3, 200, 5, maps):,} MACs",
            f"without padding {output_size(100, 5)}x{output_size(100, 5)}: "
            f"{conv_macs(3, 200, 5, output_size(100, 5)):,} MACs",
        ]
    )


def teach_autoencoder() -> Lesson:
    """What deconvolution is for: an autoencoder, trained for a few seconds on the bundled images."""
    from cnnkit.classroom.autoencoder import train_autoencoder
    from cnnkit.data.store import open_sample
    from cnnkit.reporting.figures import new_figures

    store = open_sample()
    train, test = (torch.as_tensor(images) for images in (store.train_images, store.test_images))
    test = test[:500]
    found = train_autoencoder(train, test)

    def draw() -> "Figure":
        figure, panels = new_figures(6, 1.7, rows=2, columns=8)
        with torch.no_grad():
            pictures = torch.cat([test[:8].float() / 255, found.net(test[:8].float() / 255)])
        for axes, picture in zip(panels, pictures, strict=True):
            axes.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
            axes.set_axis_off()
        return figure

    sizes = "(1, 28, 28) -> (16, 14, 14) -> (4, 7, 7) -> (16, 14, 14) -> (1, 28, 28)"
    return Lesson(
        [
            f"{sizes}, {sum(p.numel() for p in found.net.parameters()):,} parameters",
            f"mean squared error on 500 unseen images: untrained {found.before:.4f}, after 200 steps "
            f"{found.after:.4f}; the mean image in place of each {found.mean_image:.4f}",
        ],
        draw,
    )


LESSONS: dict[str, Callable[[], Lesson]] = {
    "signals": teach_signals,
    "exercise": teach_exercise,
    "pooling": teach_pooling,
    "matrix": teach_matrix,
    "sliding": teach_sliding,
    "parameters": teach_parameters,
    "autoencoder": teach_autoencoder,
}
"""By the words of the command."""


def _rows(matrix: Tensor) -> list[str]:
    """A line a row, the numbers below each other."""
    words = [[f"{value:g}" for value in row] for row in matrix.tolist()]
    width = max(len(word) for row in words for word in row)
    return ["  " + " ".join(word.rjust(width) for word in row) for row in words]
