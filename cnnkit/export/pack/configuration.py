"""The configuration of a run as others may read it: without places of this machine, loggers and secrets."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnkit.config_files.yaml_files import dump_yaml, read_dump
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.runs.keys import covers

# Where things lie on this machine, and what writes elsewhere: none of it decides a number of the run.
_PLACES = (
    *("ckpt_path", "weights", "config", "data.data_dir", "data.mirror", "data.root", "data.table", "model.cache_dir"),
    *("trainer.default_root_dir", "trainer.logger", "trainer.profiler", "trainer.plugins"),
)
_SHORT = 3  # characters of a value that stands in every file
_SECRET = re.compile(r"(?:^|[._-])(?:secret|token|password|passwd|credentials?|api_?key|auth|user(?:name)?)s?$", re.I)
# An absolute or home path, a path that climbs, a drive or share of Windows, an address.
_PLACE = re.compile(r"(?:^|[\s='\"(,:])(?:/|~|\.\.[/\\]|\\\\|[A-Za-z]:[/\\])|[A-Za-z][\w+.-]*://")


def write_public_config(run: RunFolder) -> tuple[str, dict[str, Any]]:
    """Return the text of a run's configuration without what names this machine, and what was left out, by its keys.

    Left out are places (`data.data_dir`, `data.root`, `weights` and the like), loggers, profilers and plugins, keys
    named like a secret, and any value that is or contains an absolute path, a path that climbs, or an address.

    Raises:
        UserError: the configuration cannot be read.
    """
    left_out: dict[str, Any] = {}
    values = _keep_public(read_dump(run.config), "", left_out)
    head = "# The configuration of the run that this model comes from.\n"
    if left_out:
        head += f"# Left out, as they name a machine or may hold a secret: {', '.join(left_out)}.\n"
    return head + dump_yaml(values), left_out


def _keep_public(value: Any, key: str, left_out: dict[str, Any]) -> Any:
    """Return a value with None for what is left out; `key` is the dotted name, without ``init_args``."""
    if value is not None and (covers(_PLACES, key) or _SECRET.search(key)):
        if value not in ("", [], {}, False):
            left_out[key] = value
        return None
    if isinstance(value, dict):
        return {name: _keep_public(part, _join(key, str(name)), left_out) for name, part in value.items()}
    if isinstance(value, list):
        return [_keep_public(part, f"{key}.{place}", left_out) for place, part in enumerate(value)]
    if isinstance(value, str) and _PLACE.search(value):
        left_out[key] = value
        return None
    return value


def refuse_leaks(folder: Path, left_out: Mapping[str, Any]) -> None:
    """Check that no file of a pack contains a place or a secret that its configuration lacks.

    A file of weights, say, holds the arguments of the net. A place below the working folder, such as ``photos``, is an
    ordinary word and is not looked for.

    Args:
        folder: with the files.
        left_out: values by their keys, from `write_public_config`.

    Raises:
        UserError: one does.
    """
    texts = {key: value for key, value in left_out.items() if isinstance(value, str) and len(value) > _SHORT}
    texts = {key: value for key, value in texts.items() if _SECRET.search(key) or _PLACE.search(value)}
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if texts else []
    for file in files:
        content = file.read_bytes()
        for key, value in texts.items():
            forms = (value, json.dumps(value)[1:-1], json.dumps(json.dumps(value))[3:-3])  # also JSON within JSON
            if any(form.encode("utf-8", "surrogateescape") in content for form in forms):
                raise UserError(
                    f"{file.name}: would contain the value of {key}, which names this machine or may be a secret; "
                    "pack other --formats, or train again without it"
                )


def _join(above: str, name: str) -> str:
    if name == "init_args":
        return above
    return f"{above}.{name}" if above else name
