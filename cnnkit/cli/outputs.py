"""Files that commands write where the user says: checked before the work, and written whole or not at all."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnkit.errors import UserError
from cnnkit.files import check_regular, writing_output


def check_output(output: str | Path, suffixes: Sequence[str] = (), example: str = "") -> Path:
    """Check the path of a file that will be written at the end, so that no work is done in vain.

    Args:
        output: the path; its folder need not exist.
        suffixes: those that the file may have; any if there are none.
        example: what to give, for the error; by default a file with one of the suffixes.

    Raises:
        UserError: it has another suffix, is no file, or no file can be made there.
    """
    path = Path(output)
    if path.is_dir() or (suffixes and path.suffix.lower() not in suffixes):
        wanted = example or (f"a file that ends in {', '.join(suffixes)}" if suffixes else "a file to write")
        raise UserError(f"output is {path}: give {wanted}")
    check_writable(path)
    return path


def check_png(output: str | Path) -> Path:
    """Check the path of a picture; see `check_output`."""
    return check_output(output, (".png",))


def check_writable(path: Path) -> None:
    """Check that a file can be made in the folder of a path, or in the lowest folder above it that exists.

    Raises:
        UserError: it cannot, or the path is a device or pipe, which a rename would replace.
    """
    try:
        if path.exists():
            check_regular(path)
        with tempfile.TemporaryFile(dir=next(folder for folder in path.parents if folder.exists())):
            pass
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); name another file") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none of it; see `writing_output`."""
    with writing_output(path) as file:
        file.write(content)


def choose_classes(probabilities: Any, names: Sequence[str], thresholds: Any) -> list[str]:
    """For each row (B, K), the names of the classes with at least their threshold (K,), with | between them."""
    chosen = (probabilities >= thresholds.to(probabilities.device)).tolist()
    return ["|".join(name for name, has in zip(names, row, strict=True) if has) for row in chosen]


def describe_views(tta: str) -> dict[str, str]:
    """Describe the views that scores or predictions are averaged over as a row to print; none for ``none``."""
    return {} if tta == "none" else {"averaged over views": f"{tta} (--tta)"}


def describe_correction(correction: Any, tta: str) -> dict[str, str]:
    """Describe how logits were corrected as rows to print: the adjustment, and the temperature or why there is none."""
    if correction is None:
        return {}
    rows = {"adjusted": f"by {correction.tau:g} log(share of the class) (--posthoc_tau)"} if correction.tau else {}
    return {**rows, **_describe_temperature(correction, tta)}


def _describe_temperature(correction: Any, tta: str) -> dict[str, str]:
    if not correction.temperatures:
        return {}
    if (found := correction.find_temperature(tta)) is not None:
        return {"temperature": f"{found:.4f}"}
    if correction.tau:
        return {"temperature": "none: it does not fit probabilities with posthoc_tau"}
    others = ", ".join(correction.temperatures)
    return {"temperature": f"none for these views (cnnkit calibrate --tta {tta}), but for {others}"}


def describe_ways(correction: Any, tta: str) -> dict[str, str]:
    """Describe what predictions are, beside the net's own, as columns of a table: views, tau, temperature."""
    found = None if correction is None else correction.find_temperature(tta)
    columns = {} if tta == "none" else {"tta": tta}
    columns |= {"posthoc_tau": f"{correction.tau:g}"} if correction is not None and correction.tau else {}
    return columns if found is None else {**columns, "temperature": f"{found:.4f}"}
