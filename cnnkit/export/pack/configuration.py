"""The configuration of a run as others may read it: without places of this machine, loggers and secrets."""

import re
from typing import Any

from cnnkit.config_files.yaml_files import dump_yaml, read_dump
from cnnkit.runs import RunFolder
from cnnkit.runs.keys import covers

# Where things lie on this machine, and what writes elsewhere: none of it decides a number of the run.
_PLACES = (
    *("ckpt_path", "weights", "config", "data.data_dir", "data.mirror", "data.root", "data.table", "model.cache_dir"),
    *("trainer.default_root_dir", "trainer.logger", "trainer.profiler", "trainer.plugins"),
)
_SECRET = re.compile(r"(?:^|[._-])(?:secret|token|password|passwd|credentials?|api_?key|auth|user(?:name)?)s?$", re.I)
# An absolute or home path, a path that climbs, a drive or share of Windows, an address.
_PLACE = re.compile(r"(?:^|[\s='\"(,:])(?:/|~|\.\.[/\\]|\\\\|[A-Za-z]:[/\\])|[A-Za-z][\w+.-]*://")


def write_public_config(run: RunFolder) -> tuple[str, list[str]]:
    """Return the text of a run's configuration without what names this machine, and the keys that were left out.

    Left out are places (`data.data_dir`, `data.root`, `weights` and the like), loggers, profilers and plugins, keys
    named like a secret, and any value that is or contains an absolute path, a path that climbs, or an address.

    Raises:
        UserError: the configuration cannot be read.
    """
    left_out: list[str] = []
    values = _keep_public(read_dump(run.config), "", left_out)
    head = "# The configuration of the run that this model comes from.\n"
    if left_out:
        head += f"# Left out, as they name a machine or may hold a secret: {', '.join(left_out)}.\n"
    return head + dump_yaml(values), left_out


def _keep_public(value: Any, key: str, left_out: list[str]) -> Any:
    """Return a value with None for what is left out; `key` is the dotted name, without ``init_args``."""
    if value is not None and (covers(_PLACES, key) or _SECRET.search(key)):
        if value not in ("", [], {}, False):
            left_out.append(key)
        return None
    if isinstance(value, dict):
        return {name: _keep_public(part, _join(key, str(name)), left_out) for name, part in value.items()}
    if isinstance(value, list):
        return [_keep_public(part, f"{key}.{place}", left_out) for place, part in enumerate(value)]
    if isinstance(value, str) and _PLACE.search(value):
        left_out.append(key)
        return None
    return value


def _join(above: str, name: str) -> str:
    if name == "init_args":
        return above
    return f"{above}.{name}" if above else name
