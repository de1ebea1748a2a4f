"""Checks that data are those of a run's training. A data module of image files compares its files itself."""

from typing import Any

from cnnkit.errors import UserError
from cnnkit.notices import say
from cnnkit.runs import RunFolder


def check_data_identity(command: str, run: RunFolder, data: Any) -> None:
    """Compare the data's fingerprint and split with those in the run's manifest, before anything is scored.

    Args:
        command: ``validate``, ``test`` or ``predict``.
        run: what was trained.
        data: the data module; one that has no ``describe`` cannot be compared.

    Raises:
        UserError: the run would be scored on images that it was trained on.
    """
    trained = run.manifest_if_readable().get("data") or {}
    if not hasattr(data, "describe") or "fingerprint" not in trained:
        return
    if hasattr(data, "save_split") and trained.get("name") == type(data).__name__:  # image files
        if not run.split.exists() and command != "predict":
            raise UserError(
                f"{run}: is older and does not say which images it was trained on; they could be among those to score, "
                "so train again"
            )
        return
    here = data.describe()
    other = [key for key in ("fingerprint", "split") if trained.get(key, here[key]) != here[key]]
    if not other:
        return
    names = f"{trained.get('name')} ({trained['fingerprint']}) then, {here['name']} ({here['fingerprint']}) now"
    if "fingerprint" in other:
        say(f"the data are not those that {run} was trained on: {names}")
    elif command == "validate":
        raise UserError(
            f"{run}: data.val_size, data.split_seed or data.train_fraction differ from its training, so images that it "
            "was trained on would validate it; leave them as they were"
        )
