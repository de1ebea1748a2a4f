"""Collects what a run's numbers depend on besides its configuration: versions, machine, code in the working folder."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from cnnkit.threads import describe_spinning


def read_versions() -> dict[str, str]:
    """Read the versions of Python and of the packages that decide a run's numbers."""
    names = ("cnnkit", "torch", "torchvision", "lightning", "torchmetrics", "timm", "numpy")
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def read_machine() -> dict[str, Any]:
    """Read what a run's speed depends on, beside the device."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    cpu = names[0].partition(":")[2].strip() if names else platform.processor()
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), **describe_spinning()}


def read_git_state() -> dict[str, Any] | None:
    """Read the commit of the working folder, and whether files that git follows differ from it.

    Returns:
        ``commit`` (None before the first one) and ``changed``; None where there is no repository or no git, or git
        takes longer than two seconds.
    """
    try:
        lines = subprocess.run(
            ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=2,
            check=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
    return {
        "commit": None if commit == "(initial)" else commit,
        "changed": any(not line.startswith("#") for line in lines),
    }
