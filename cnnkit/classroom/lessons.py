"""The worked examples that ``cnnkit classroom course`` prints step by step; some of them have a picture."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from cnnkit.classroom.arithmetic import conv_macs, conv_parameters, dense_parameters
from cnnkit.sizes import output_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Lesson(NamedTuple):
    """The lines of an example, and a function that draws its picture."""

    lines: list[str]
    draw: "Callable[[], Figure] | None" = None


def teach_signals() -> Lesson:
    """Convolution in one, two and three dimensions, and with channels."""
    from cnnkit.classroom.convolution import conv1d, corr1d, corr2d, corr3d

    f, g = torch.tensor([4, 5]), torch.tensor([1, 2, 3])
    image, kernel = torch.arange(48).view(3, 4, 4), torch.ones(3, 2, 2, dtype=torch.long)
    deep = corr2d(torch.zeros(8, 7, 6), torch.zeros(8, 8, 3, 3))
    return Lesson(
        [
            f"f = {f.tolist()}, g = {g.tolist()}",
            f"convolution (f * g)[t] = sum over a of f[a] g[t - a]: {conv1d(g, f, padding=1).tolist()}",
            "  these are the coefficients of (4 + 5x)(1 + 2x + 3x²); f is reversed before it slides over g",
            f"cross-correlation, sum over a of f[a] g[t + a - 1]: {corr1d(g, f, padding=1).tolist()}",
            f"3 channels, kernel (3, 2, 2): as an image with channels {corr2d(image, kernel[None])[0].tolist()}",
            f"  as a volume of depth 3 {corr3d(image, kernel)[0].tolist()}",
            f"image (8, 7, 6), 8 kernels (8, 3, 3): output {tuple(deep.shape)}",
        ]
    )


def teach_exercise() -> Lesson:
    """The exercise with A and B: pooling, padding, convolution, stride."""
    from cnnkit.classroom.exercise import A, B, solve

    solution = solve()
    steps = {
        "A": A,
        "C = A after 2x2 maximum pooling with stride 2; the last row and column are dropped": solution.C,
        "C padded with two zeros on every side": solution.padded,
        "B": B,
        "D = C padded by 2, convolved with B; B rotated by 180 degrees is B, so both conventions agree": solution.D,
        "E = D convolved with B at stride 3; one position fits: (5 - 3) / 3 + 1, rounded down": solution.E,
    }
    lines = [line for title, matrix in steps.items() for line in (title, *_format_rows(matrix))]
    windows = {"C[1][1]": A[2:4, 2:4], "D[2][2]": solution.padded[2:5, 2:5], "E[0][0]": solution.D[:3, :3]}
    lines += [f"C[1][1] = max({', '.join(map(str, windows.pop('C[1][1]').flatten().tolist()))}) = {solution.C[1, 1]}"]
    for name, window in windows.items():
        products = (window * B).flatten().tolist()
        lines.append(f"{name} = {' + '.join(map(str, products)).replace('+ -', '- ')} = {sum(products)}")
    return Lesson(lines)


def teach_pooling() -> Lesson:
    """The gradient of pooling: which pixels receive it."""
    from cnnkit.classroom.pooling import PoolKind, pool2d, pool2d_gradient

    image = torch.tensor([[1, 5, 2], [5, 3, 4], [0, 4, 4]])
    upstream = torch.tensor([[1000, 100], [10, 1]])
    lines = ["image", *_format_rows(image), "upstream gradient of the four overlapping 2x2 windows, stride 1"]
    lines += _format_rows(upstream)
    kinds: tuple[PoolKind, ...] = ("max", "min", "sum", "mean", "subsampling")
    for kind in kinds:
        pooled = pool2d(image, 2, stride=1, kind=kind)
        lines += [f"{kind}: {pooled.tolist()}; gradient of the image"]
        lines += _format_rows(pool2d_gradient(image, upstream, 2, stride=1, kind=kind))
    return Lesson(lines)


def teach_matrix() -> Lesson:
    """A convolution as a linear layer, its transpose, and its parameters beside those of a dense layer."""
    from cnnkit.classroom.convolution import conv_transpose2d, corr2d
    from cnnkit.classroom.matrix import convolution_matrix, draw_matrices

    kernel, image = torch.arange(1, 10).view(3, 3), torch.arange(16).view(4, 4)
    plain, padded = convolution_matrix(kernel, 4), convolution_matrix(kernel, 4, padding=1)
    output = corr2d(image, kernel)
    lines = [f"{len(plain)}x{plain.shape[1]} matrix of a 3x3 kernel on 4x4 pixels", *_format_rows(plain)]
    for name, matrix in {"4x4 pixels": plain, "padding 1": padded}.items():
        rows, columns = matrix.shape
        dense, nonzero = dense_parameters(columns, rows), matrix.count_nonzero()
        lines += [
            f"{name}: {nonzero} of {rows}x{columns} = {matrix.numel()} weights are not 0, with 9 different "
            f"values; with a bias {conv_parameters(1, 1, 3)} parameters, the dense layer {dense}"
        ]
    lines += [
        f"matrix times pixels      {(plain @ image.flatten()).tolist()}",
        f"corr2d                   {output.flatten().tolist()}",
        f"transposed times output  {(plain.T @ output.flatten()).tolist()}",
        f"conv_transpose2d         {conv_transpose2d(output, kernel).flatten().tolist()}",
    ]
    titles = {"3x3 on 4x4: 4 x 16": plain, "with padding 1: 16 x 16": padded, "transposed: 16 x 4": plain.T}
    return Lesson(lines, lambda: draw_matrices(titles))


def teach_sliding() -> Lesson:
    """Stride, padding, and their transposed counterparts."""
    from cnnkit.classroom.drawings import SLIDES, draw_slides

    return Lesson([slide.describe() for slide in SLIDES], draw_slides)


def teach_parameters() -> Lesson:
    """Why convolution: parameters and multiply-accumulates of a first layer."""
    maps = output_size(100, 5, p=2)
    dense, conv = dense_parameters(100 * 100, 1000, bias=False), conv_parameters(3, 200, 5)
    return Lesson(
        [
            f"dense, 100x100 gray pixels to 1,000 units: 100*100*1000 = {dense:,} weights, each used once",
            f"convolution, 5x5, 3 channels to 200 maps: 200*(3*5*5 + 1) = {conv:,} parameters",
            f"padding 2 keeps the maps at {maps}x{maps}: 15,000 weights at {maps * maps:,} positions, "
            f"{conv_macs(3, 200, 5, maps):,} MACs",
            f"without padding they are {output_size(100, 5)}x{output_size(100, 5)}: "
            f"{conv_macs(3, 200, 5, output_size(100, 5)):,} MACs",
        ]
    )


def teach_autoencoder() -> Lesson:
    """Transposed convolutions in use: an autoencoder, trained for a few seconds on the bundled images."""
    from cnnkit.classroom.autoencoder import train_autoencoder
    from cnnkit.data.store import open_sample
    from cnnkit.reporting.figures import new_figures

    store = open_sample()
    train, test = (torch.as_tensor(images) for images in (store.train_images, store.test_images))
    test = test[:500]
    trained = train_autoencoder(train, test)

    def draw() -> "Figure":
        figure, panels = new_figures(6, 1.7, rows=2, columns=8)
        with torch.no_grad():
            pictures = torch.cat([test[:8].float() / 255, trained.net(test[:8].float() / 255)])
        for axes, picture in zip(panels, pictures, strict=True):
            axes.imshow(picture[0].numpy(), cmap="gray_r", vmin=0, vmax=1)
            axes.set_axis_off()
        return figure

    sizes = "(1, 28, 28) -> (16, 14, 14) -> (4, 7, 7) -> (16, 14, 14) -> (1, 28, 28)"
    return Lesson(
        [
            f"{sizes}, {sum(p.numel() for p in trained.net.parameters()):,} parameters",
            f"mean squared error on 500 test images: {trained.before:.4f} untrained, {trained.after:.4f} after 200 "
            f"steps; {trained.mean_image:.4f} if the mean training image replaces each output",
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
"""The examples by their names on the command line."""


def _format_rows(matrix: Tensor) -> list[str]:
    """Format each row as a line, with aligned columns."""
    cells = [[f"{value:g}" for value in row] for row in matrix.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    return ["  " + " ".join(cell.rjust(width) for cell in row) for row in cells]
