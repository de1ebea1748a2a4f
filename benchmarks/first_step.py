"""Which files of `cnnkit/cli` run between the command and the first training step: a script for `benchmarks.house`."""

import json
import sys
from types import FrameType
from typing import Any

from lightning.pytorch.callbacks import Callback

FILES: set[str] = set()


class FirstStep(Callback):
    """Prints the files and ends the process when the first batch is there."""

    def on_train_batch_start(self, *_: Any) -> None:
        """End the process."""
        sys.setprofile(None)
        print(json.dumps(sorted(FILES)), flush=True)
        raise SystemExit(0)


def note(frame: FrameType, event: str, argument: object) -> None:
    """Note the file of each function that is called; those that run when a module is imported do not count."""
    code = frame.f_code
    if event == "call" and "/cnnkit/cli/" in code.co_filename and code.co_name != "<module>":
        FILES.add(code.co_filename.partition("/cnnkit/cli/")[2])


if __name__ == "__main__":
    from cnnkit.cli import main

    sys.modules["first_step"] = sys.modules["__main__"]
    sys.setprofile(note)
    main(["fit", f"--config={sys.argv[1]}", "--name=first_step", "--trainer.callbacks+=first_step.FirstStep"])
