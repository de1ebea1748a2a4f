"""What a hub reads of a model card: the YAML above its text, as the Hugging Face Hub defines it."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnnkit.config_files.yaml_files import dump_yaml

# Names of licenses that the hub knows; https://huggingface.co/docs/hub/repositories-licenses. Any other is `other`.
HUB_LICENSES = frozenset(
    (
        *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigcode-openrail-m"),
        *("afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda"),
        *("cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0"),
        *("cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2"),
        *("agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c"),
        *("ms-pl", "mpl-2.0", "odc-by", "odbl", "ofl-1.1", "osl-3.0", "postgresql", "ncsa", "unlicense", "zlib"),
        "pddl",
    )
)


def write_metadata(
    name: str,
    data_name: str,
    scores: Sequence[tuple[str, str, float]],
    license: str | None,
    *,
    has_license_file: bool,
    tags: Sequence[str],
) -> str:
    """Return the YAML block, with its rules above and below.

    Args:
        name: of the model.
        data_name: of the data that it was tested on.
        scores: type of the hub's metric, what it is called, value; those of the test images.
        license: of the model, as the user says it; None if it is not stated.
        has_license_file: whether the pack contains the license's text as LICENSE.
        tags: words to find it by.
    """
    found: dict[str, Any] = {"pipeline_tag": "image-classification", **_describe_license(license, has_license_file)}
    found |= {"tags": list(tags), "metrics": list(dict.fromkeys(kind for kind, _, _ in scores))}
    if scores:
        result = {
            "task": {"type": "image-classification", "name": "Image classification"},
            "dataset": {"type": data_name, "name": data_name, "split": "test"},
            "metrics": [{"type": kind, "name": title, "value": value} for kind, title, value in scores],
        }
        found["model-index"] = [{"name": name, "results": [result]}]
    kept = {key: value for key, value in found.items() if value not in (None, [])}
    return f"---\n{dump_yaml(kept)}---\n"


def _describe_license(license: str | None, has_file: bool) -> Mapping[str, str]:
    """Return the hub's keys for a license; a name that it does not know is ``other`` with this name."""
    if license is None:
        return {}
    if license.lower() in HUB_LICENSES:
        return {"license": license.lower()}
    link = {"license_link": "LICENSE"} if has_file else {}
    return {"license": "other", "license_name": license, **link}
