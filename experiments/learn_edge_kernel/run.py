"""Learn the kernel of an edge detector from one image and its edges, by gradient descent without autograd.

python experiments/learn_edge_kernel/run.py [--seed 0] [-o FILE.png]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from cnnkit.classroom.convolution import corr2d
from cnnkit.files import replacing
from cnnkit.reporting.figures import BLUE, GRAY, ORANGE, png_bytes

EDGE = torch.tensor([[1.0, -1.0]])
"""Each pixel minus its right neighbor: 1 where white turns black, -1 where black turns white, else 0."""


class Step(NamedTuple):
    """The state after a number of steps."""

    number: int
    loss: float
    """The sum of the squared differences of all pixels."""
    kernel: tuple[float, float]


def make_image() -> Tensor:
    """A white image (6, 8) with a black bar in its columns 2 to 5."""
    image = torch.ones(6, 8)
    image[:, 2:6] = 0
    return image


def learn(seed: int = 0, steps: int = 10, rate: float = 0.03) -> list[Step]:
    """Run gradient descent from a random kernel (1, 2) toward the kernel that made the edges.

    The kernel starts uniform in +-1/sqrt(2), as torch's convolutions with two weights do. The loss is the sum of
    (out - edges)^2 over all pixels. The derivative of an output pixel with respect to a weight is the image pixel under
    that weight, so the gradient is the correlation of the image with twice the difference.

    Args:
        seed: seed of the first kernel.
        steps: number of steps.
        rate: learning rate.

    Returns:
        The states before the first step and after every step.
    """
    image = make_image()
    edges = corr2d(image, EDGE)
    kernel = (2 * torch.rand(1, 2, generator=torch.Generator().manual_seed(seed)) - 1) / 2**0.5
    states = []
    for number in range(steps + 1):
        difference = corr2d(image, kernel) - edges
        left, right = kernel.flatten().tolist()
        states.append(Step(number, difference.square().sum().item(), (left, right)))
        kernel = kernel - rate * corr2d(image, 2 * difference)
    return states


def format_table(states: Sequence[Step]) -> str:
    """Return the states as a Markdown table."""
    rows = [f"| {number} | {loss:.4f} | [{left:.3f}, {right:.3f}] |" for number, loss, (left, right) in states]
    return "\n".join(["| steps | loss | kernel |", "|---|---|---|", *rows])


def draw_picture(states: Sequence[Step]) -> Figure:
    """Draw the image, its edges, the edges of the learned kernel, and the loss and the weights over the steps."""
    image = make_image()
    learned = corr2d(image, torch.tensor([states[-1].kernel]))
    figure = Figure(figsize=(9, 4.6), layout="constrained", facecolor="white")
    upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.35])
    panels = {"image": image, "edges: kernel [1, -1]": corr2d(image, EDGE), "edges by the learned kernel": learned}
    for axes, (title, pixels) in zip(upper.subplots(1, 3), panels.items(), strict=True):
        gray = title == "image"
        axes.imshow(pixels.numpy(), cmap="gray" if gray else "RdBu_r", vmin=0 if gray else -1, vmax=1)
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(GRAY)
    loss, kernel = lower.subplots(1, 2)
    numbers = [state.number for state in states]
    loss.semilogy(numbers, [state.loss for state in states], "o-", color=BLUE, ms=3)
    loss.set(xlabel="steps", ylabel="loss")
    for side, (name, target, color) in enumerate((("left", 1, BLUE), ("right", -1, ORANGE))):
        kernel.plot(numbers, [state.kernel[side] for state in states], "o-", color=color, ms=3, label=f"{name} weight")
        kernel.axhline(target, color=color, lw=0.8, ls="--")
    kernel.set(xlabel="steps", ylabel="weight")
    kernel.legend(fontsize=8, frameon=False, loc="center right")
    for axes in (loss, kernel):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and write the picture."""
    parser = argparse.ArgumentParser(description="Learn the kernel [1, -1] from an image and its edges.")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first kernel")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_name("learned.png"), help="a PNG file")
    options = parser.parse_args(arguments)
    states = learn(options.seed)
    print(format_table(states))
    with replacing(options.output, "wb") as file:
        file.write(png_bytes(draw_picture(states), dpi=100))


if __name__ == "__main__":
    main()
