"""The runs of a study on a Ray cluster: Ray schedules the ordinary commands.

Needs ``pip install 'cnnkit[ray]'`` and, on more than one machine, the project, its data and the folder of runs under
the same paths everywhere. ``RAY_ADDRESS`` names the cluster; without it one is started on this machine.
"""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cnnkit.errors import UserError
from cnnkit.study.engine import CommandResult, Execute


def connect_ray() -> tuple[Execute, int]:
    """Connect to the cluster: return a function that runs a command in it, and the number of commands at a time.

    Raises:
        UserError: if Ray is missing.
    """
    try:
        import ray
    except ImportError:
        raise UserError("engine: ray needs Ray; pip install 'cnnkit[ray]' brings it") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    remote: Any = ray.remote(max_retries=0, num_cpus=1)(_run)

    def execute(words: list[str]) -> CommandResult:
        kept = {key: value for key, value in os.environ.items() if key.startswith(("CNNKIT_", "PYTHON", "HF_"))}
        return CommandResult.of_process(*ray.get(remote.remote(words, str(Path.cwd()), kept)))

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return execute, max(1, int(resources.get("CPU", 1)))


def _run(words: list[str], folder: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command in a worker of the cluster; return the process's return code and output."""
    command = [sys.executable, "-m", "cnnkit", *words]
    variables = {**os.environ, **environment, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr
