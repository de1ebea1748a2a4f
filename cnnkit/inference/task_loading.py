"""Loads a trained task from its checkpoint alone, without its data and without running code that a checkpoint names.

A checkpoint holds class paths and arguments, and importing a class runs code. So a checkpoint gets the classes of
cnnkit's and torch's nets, tasks and optimizers, and besides them only those that a configuration file names too, the
run folder's own or one that the user gives: what such a file names is imported by every other command. The arguments
come from the checkpoint, because only there stand those that the data gave.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L

from cnnkit.config_files.yaml_files import read_file
from cnnkit.errors import UserError
from cnnkit.inference.trusted import add_definitions, allow_imports, find_paths
from cnnkit.tasks import ClassificationTask
from cnnkit.tasks.tta import TTA
from cnnkit.weights import skip_pretrained
from cnnkit.weights.checkpoints import load_checkpoint


def load_task(
    path: Path,
    configs: Sequence[Path] = (),
    checkpoint: dict[str, Any] | None = None,
    tta: TTA | None = "none",
) -> tuple[ClassificationTask, dict[str, Any]]:
    """Rebuild the task of a checkpoint, in evaluation mode, on the CPU, in float32; return both.

    Args:
        path: a checkpoint of a run that was started from the command line.
        configs: configuration files whose classes may be imported.
        checkpoint: its content, if it was read before.
        tta: views that a prediction averages over; None for those of the task's configuration.

    Raises:
        UserError: if the file is missing or damaged, names a class that is not trusted, or does not say how to build
            the net.
    """
    checkpoint = checkpoint or load_checkpoint(path)
    arguments = checkpoint.get("hyper_parameters") or {}
    if "net" not in arguments:
        raise UserError(
            f"{path}: does not say how its net is built, because the run was not started from the command line; "
            "use ClassificationTask.load_from_checkpoint(file, net=...) in Python"
        )
    named = set(find_paths(arguments))
    for name in (name.removeprefix("__main__.") for name in named if name.startswith("__main__.")):
        if not hasattr(sys.modules["__main__"], name):
            raise UserError(
                f"{path}: needs {name}, which was defined in the notebook or script that trained; put it into a file, "
                "import it from there and train again"
            )
    trusted = {name for config in configs for name in find_paths(read_file(config).values)}
    # Compiling would take longer than predicting.
    eager: dict[str, Any] = {"compile_net": False} if arguments.get("compile_net") else {}
    with allow_imports(add_definitions(named & trusted)):
        try:
            with skip_pretrained():
                # Called on Lightning's class: on ours it would drop the name of the task, for not being an argument.
                task: Any = L.LightningModule.load_from_checkpoint(path, map_location="cpu", weights_only=True, **eager)
        except UserError:
            raise
        except Exception as error:  # jsonargparse, Lightning and torch each raise their own
            raise UserError(f"{path}: {_describe(error)}") from error
    if not isinstance(task, ClassificationTask):
        raise UserError(f"{path}: its task, {type(task).__name__}, is no ClassificationTask; load it in Python")
    task.tta = task.tta if tta is None else tta
    return task.eval(), checkpoint


def _describe(error: Exception) -> str:
    text = str(error)
    denied = re.search(r"Importing '([^']+)' is not allowed|The class '([^']+)' requested by the checkpoint", text)
    missing = re.search(r"No module named '([^']+)'", text)
    if denied:
        return (
            f"needs {denied[1] or denied[2]}, which is neither cnnkit's nor torch's and is not imported unasked; "
            "if you trust it, name the run (--run RUN) or the configuration that it was trained with (--config FILE)"
        )
    if missing:
        return f"there is no module {missing[1]!r} here or installed, which it needs; go to the folder where it is"
    if isinstance(error, RuntimeError) and "state_dict" in text:
        return "its weights do not fit the net that it describes; was the net's code changed since?"
    return f"its net cannot be rebuilt ({' '.join(text.split())[:200]})"
