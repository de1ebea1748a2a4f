"""Draw the gradient norms of a study layer by layer: writes ``gradients.png`` and ``gradients.csv``.

    python experiments/plot_gradients.py runs/residual_depth experiments/residual_depth

Each variant has one line: the median over its runs of the gradient norm of the weights of every convolution and dense
layer, at the first step and in the last epoch. Auxiliary heads are left out.
"""

import csv
import sys
from itertools import cycle
from pathlib import Path
from statistics import median

from cnnkit.files import replacing
from cnnkit.reporting.figures import new_figures, png_bytes
from cnnkit.runs import RunFolder
from cnnkit.runs.metrics import read_metrics

# Okabe and Ito's colors; people with any color vision can distinguish them.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


def profile(run: RunFolder) -> tuple[list[str], list[float], list[float]]:
    """Return the layers and their gradient norms at the first step and in the last epoch."""
    rows = [row for row in read_metrics(run.metrics) if any(name.startswith("gradients/") for name in row)]
    names = [name for name in rows[0] if name.startswith("gradients/") and not name.startswith("gradients/heads")]
    return names, [rows[0][name] for name in names], [rows[-1][name] for name in names]


def main(runs: Path, target: Path) -> None:
    """Read the runs of every variant and write both files."""
    figure, (first, last) = new_figures(10.5, 3.4, 1, 2, sharey=True)
    with replacing(target / "gradients.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["variant", "runs", "layer", "name", "first_step", "last_epoch"])
        variants = sorted(path for path in runs.iterdir() if path.is_dir())
        for variant, color in zip(variants, cycle(COLORS), strict=False):
            found = [profile(RunFolder(path.parent)) for path in sorted(variant.glob("*/metrics.csv"))]
            names = found[0][0]
            starts, ends = (
                [median(values) for values in zip(*(each[k] for each in found), strict=True)] for k in (1, 2)
            )
            for layer, (name, start, end) in enumerate(zip(names, starts, ends, strict=True), start=1):
                writer.writerow([variant.name, len(found), layer, name.split("/", 1)[1], f"{start:.4g}", f"{end:.4g}"])
            for axes, norms in ((first, starts), (last, ends)):
                axes.plot(range(1, len(norms) + 1), norms, color=color, label=variant.name, linewidth=1.3)
    for axes, title in ((first, "at the first step"), (last, "in the last epoch")):
        axes.set_yscale("log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("layer, from the image to the logits", fontsize=8)
        axes.grid(alpha=0.3)
    first.set_ylabel("norm of the gradient", fontsize=8)
    last.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    with replacing(target / "gradients.png", "wb") as file:
        file.write(png_bytes(figure, 100))
    print(f"written to {target}/: gradients.png, gradients.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
