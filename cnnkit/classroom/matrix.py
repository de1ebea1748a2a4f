"""A convolution as a linear layer: most of its weights are zero, and the others are shared.

Dumoulin & Visin 2016, arXiv 1603.07285, section 4.1.
"""

from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.sizes import Size, expand_size, output_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def convolution_matrix(
    kernel: Tensor, image_size: Size, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> Tensor:
    """Write a convolution as a matrix that maps the pixels of an image, row by row, to the pixels of its output.

    ``corr2d(image, kernel).flatten() == convolution_matrix(kernel, size) @ image.flatten()``. The transposed matrix
    maps in the other direction: it is the transposed convolution, and the gradient. ``.to_sparse()`` drops the zeros.

    Args:
        kernel: (kh, kw), or (O, C, kh, kw).
        image_size: size of the image in pixels.
        stride: pixels between two positions of the kernel.
        padding: zeros on every side of the image.
        dilation: pixels between two weights of the kernel.

    Returns:
        (H' W', H W), or (O H' W', C H W).

    Raises:
        UserError: the kernel does not fit.

    Example:
        >>> matrix = convolution_matrix(torch.arange(1, 10).view(3, 3), 4)
        >>> matrix.shape, matrix[0].tolist()
        (torch.Size([4, 16]), [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0, 0])
        >>> convolution_matrix(torch.arange(1, 10).view(3, 3), 4, padding=1).shape
        torch.Size([16, 16])
    """
    if kernel.dim() == 2:
        kernel = kernel[None, None]
    if kernel.dim() != 4:
        raise UserError(f"the kernel has shape {tuple(kernel.shape)}; give (kh, kw) or (O, C, kh, kw).")
    sizes = [
        expand_size(size, 2) for size in (image_size, (kernel.shape[2], kernel.shape[3]), padding, stride, dilation)
    ]
    (height, width), _, (above, before), (down, right), (apart, aside) = sizes
    rows, columns = expand_size(output_size(*sizes), 2)
    matrix = kernel.new_zeros(kernel.shape[0], rows, columns, kernel.shape[1], height, width)
    for i, j, a, b in product(range(rows), range(columns), range(kernel.shape[2]), range(kernel.shape[3])):
        row, column = i * down + a * apart - above, j * right + b * aside - before
        if row in range(height) and column in range(width):  # the padding has no columns
            matrix[:, i, j, :, row, column] = kernel[:, :, a, b]
    return matrix.flatten(3).flatten(0, 2)


def draw_matrices(matrices: dict[str, Tensor]) -> "Figure":
    """Draw matrices with their weights as numbers; equal weights have the same color, zeros have none.

    Args:
        matrices: title -> matrix, with at most about thirty rows and columns.
    """
    from cnnkit.reporting.figures import GRAY, INK, new_figures

    tallest = max(len(matrix) for matrix in matrices.values())
    widths = [max(matrix.shape[1], 8) for matrix in matrices.values()]  # room for the title
    size = (0.26 * sum(widths) + 0.8, 0.26 * tallest + 1.2)
    figure, panels = new_figures(*size, columns=len(matrices), gridspec_kw={"width_ratios": widths})
    for axes, (title, matrix) in zip(panels, matrices.items(), strict=True):
        axes.imshow(torch.where(matrix == 0, torch.nan, matrix.double()).numpy(), cmap="viridis_r", alpha=0.45)
        for (row, column), weight in zip(product(*map(range, matrix.shape)), matrix.flatten().tolist(), strict=True):
            style = {"color": INK, "fontsize": 7} if weight else {"color": GRAY, "fontsize": 4}
            axes.text(column, row, f"{weight:.3g}", ha="center", va="center", **style)
        axes.set_title(title, fontsize=9, color=INK)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(GRAY)
    return figure
