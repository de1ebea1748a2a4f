"""The head and the backbone of a net, and the stages of the backbone that transfer learning freezes and releases."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.layers import AuxiliaryHead, Dropout
from cnnkit.weights import describe_differences

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass
class Stage:
    """Modules of a backbone that are frozen and released together.

    Args:
        name: dotted name, within the net, of its first module with weights.
        parts: dotted names of all its modules. Names, because a strategy may replace modules.
        parameters: their trained parameters; each parameter of the net is in one stage only.
    """

    name: str
    parts: list[str] = field(default_factory=list)
    parameters: list[nn.Parameter] = field(default_factory=list)

    def freeze(self, frozen: bool) -> bool:
        """Stop or start the gradients of its parameters; return whether that changed anything."""
        changed = [p for p in self.parameters if p.requires_grad == frozen]
        for parameter in changed:
            parameter.requires_grad_(not frozen)
            parameter.grad = None  # else weight decay and momentum would still change it
        return bool(changed)


def find_head(net: nn.Module, name: str = "auto") -> str:
    """Find the dotted name of the module that maps features to logits.

    Args:
        net: any net.
        name: the name to check; ``auto``: the module of timm's ``get_classifier``, else the last `nn.Linear` outside
            auxiliary heads.

    Raises:
        UserError: there is no such module.

    Example:
        >>> find_head(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)))
        '2'
    """
    modules: dict[str, Any] = dict(net.named_modules())
    auxiliary = {part for module in modules.values() if isinstance(module, AuxiliaryHead) for part in module.modules()}
    linear = [key for key, module in modules.items() if isinstance(module, nn.Linear) and module not in auxiliary]
    if name != "auto":
        if not name or name not in modules:
            known = ", ".join(linear[-3:]) or "none"
            raise UserError(f"head is {name!r}: {type(net).__name__} has no such part; its last Linear layers: {known}")
        return name
    of_timm = [m.get_classifier() for m in modules.values() if callable(getattr(m, "get_classifier", None))]
    for key, module in modules.items():
        if key and any(module is classifier for classifier in of_timm) and any(True for _ in module.parameters()):
            return key
    if not linear or not linear[-1]:
        raise UserError(f"{type(net).__name__} has no Linear layer to take for its head: name a part of it with head")
    return linear[-1]


def find_stages(net: nn.Module, head: str) -> list[Stage]:
    """Find the stages of a net's backbone, in the order in which the net registers its modules.

    One rule serves any net. Its direct children are stages. Some children are replaced by their own children: one that
    contains the head; a Sequential, ModuleList or ModuleDict whose name has no number at its end (``features`` and
    ``blocks``, but not ``layer1``); and an only child. A module without weights of two dimensions or more
    (normalization, activation, pooling) joins the stage before it. Parameters of a replaced module itself join the
    first stage, and so do auxiliary heads, which prediction does not run.

    Example:
        >>> net = nn.Sequential()
        >>> net.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten())
        >>> net.head = nn.Linear(16, 2)
        >>> [stage.name for stage in find_stages(net, "head")]
        ['features.0', 'features.2']
    """
    parts = list(_open(net, "", net.get_submodule(head)))
    while len(parts) == 1 and any(True for _ in parts[0][1].children()):
        parts = list(_open(parts[0][1], parts[0][0] + ".", net.get_submodule(head)))
    stages: list[Stage] = []
    complete = True  # whether the last stage has weights, so that the next weights start another
    for name, module in parts:
        has_weights = any(p.ndim > 1 for p in module.parameters())
        if not stages or (has_weights and complete):
            stages.append(Stage(name))
            complete = False
        if has_weights and not complete:
            stages[-1].name, complete = name, True
        stages[-1].parts.append(name)
    return _assign_parameters(net, net.get_submodule(head), stages)


def _open(module: nn.Module, prefix: str, head: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if child is head or isinstance(child, AuxiliaryHead):
            continue
        series = name[-1].isdigit()
        if any(part is head for part in child.modules()) or (isinstance(child, _CONTAINERS) and not series):
            yield from _open(child, f"{prefix}{name}.", head)
        else:
            yield prefix + name, child


def _assign_parameters(net: nn.Module, head: nn.Module, stages: list[Stage]) -> list[Stage]:
    """Assign every trained parameter outside the head to the first stage that has it."""
    taken = {id(p) for p in head.parameters()}
    for stage in stages:
        for parameter in (p for name in stage.parts for p in net.get_submodule(name).parameters()):
            if id(parameter) not in taken and parameter.requires_grad:
                taken.add(id(parameter))
                stage.parameters.append(parameter)
    if stages:
        stages[0].parameters += [p for p in net.parameters() if id(p) not in taken and p.requires_grad]
    return stages


def make_head(linear: nn.Module, hidden_sizes: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Build fully connected layers that replace one: Linear, ReLU, Dropout, ..., Linear.

    Args:
        linear: the `nn.Linear` to replace; the numbers of inputs and outputs stay the same.
        hidden_sizes: units of every hidden layer.
        dropout: probability of dropping a hidden unit in training.

    Raises:
        UserError: ``linear`` is another kind of module, or a number is out of range.
    """
    if not isinstance(linear, nn.Linear):
        raise UserError(
            f"head_sizes replaces one Linear layer, but the head is a {type(linear).__name__}: leave it out"
        )
    if not 0 <= dropout < 1 or min(hidden_sizes, default=1) < 1:
        raise UserError(f"head_sizes is {hidden_sizes}, head_dropout {dropout}: give positive sizes, a share below 1")
    layers: list[nn.Module] = []
    sizes = (linear.in_features, *hidden_sizes, linear.out_features)
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU(), *([Dropout(dropout)] if dropout else [])]
    layers = layers[: -2 if dropout else -1]  # neither ReLU nor dropout on the logits
    return nn.Sequential(*layers)


def compute_features(net: nn.Module, head: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the input of the head for images (B, C, H, W), flattened to (B, D), and the logits (B, K).

    Raises:
        UserError: the net does not call its head once with one tensor.
    """
    inputs_seen: list[Any] = []
    handle = head.register_forward_pre_hook(lambda module, inputs: inputs_seen.append(inputs[0] if inputs else None))
    try:
        logits: Tensor = net(images)
    finally:
        handle.remove()
    if len(inputs_seen) != 1 or not isinstance(inputs_seen[0], Tensor):
        raise UserError(
            "the net does not call its head once with one tensor, so there are no features before it; name another "
            "part of the net with head (TransferTask: or use mode frozen)"
        )
    return inputs_seen[0].flatten(1), logits


def load_backbone(net: nn.Module, head: str, weights: dict[str, Any], source: str, keep_head: bool) -> None:
    """Copy weights by name into a net; the head only with ``keep_head``, and only those whose shapes fit.

    Raises:
        UserError: names or shapes of the backbone differ.
    """
    own, prefix = net.state_dict(), f"{head}."
    expected, backbone = (
        {name: value for name, value in tensors.items() if not name.startswith(prefix)} for tensors in (own, weights)
    )
    if differences := describe_differences(expected, backbone):
        raise UserError(f"{source} does not fit {type(net).__name__}: {differences}; give the net it was trained with")
    if keep_head:
        fits = (name for name in weights if name in own and own[name].shape == weights[name].shape)
        backbone = {name: weights[name] for name in fits}
    net.load_state_dict(backbone, strict=False)
