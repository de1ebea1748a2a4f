"""Runs a .pt2 file where there is no cnnkit: a script, ``python -I alone.py FILE BATCH OUTPUT INPUT...``.

The inputs are .npy files of images, uint8 (N, C, H, W), the output becomes one of probabilities, float32 (all N, K). It
uses what any program without cnnkit would: torch and NumPy.
"""

import sys


class _Absent:
    """Lets cnnkit not be found, although it may be installed beside torch."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "cnnkit":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main() -> None:
    """Predict the images of all inputs."""
    sys.meta_path.insert(0, _Absent())
    try:
        import cnnkit  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        raise SystemExit("cnnkit can be imported")
    import numpy as np
    import torch

    file, batch, output, *inputs = sys.argv[1:]
    net = torch.export.load(file).module()
    rows = []
    with torch.no_grad():
        for name in inputs:
            images = np.load(name, mmap_mode="r")
            parts = (images[start : start + int(batch)].copy() for start in range(0, len(images), int(batch)))
            rows += [net(torch.from_numpy(part)).numpy() for part in parts]
    assert "cnnkit" not in sys.modules
    np.save(output, np.concatenate(rows))


if __name__ == "__main__":
    main()
