"""Where a net's head is, and in which stages its backbone falls: what transfer learning freezes and releases."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import nn

from cnnkit.errors import UserError

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass
class Stage:
    """A part of a backbone that is frozen and released as one.

    Args:
        name: dotted name, within the net, of its first part that has weights.
        parts: dotted names of all its parts. Names, because a strategy may put other modules in their places.
        parameters: what of them is trained, each parameter of the net in one stage only.
    """

    name: str
    parts: list[str] = field(default_factory=list)
    parameters: list[nn.Parameter] = field(default_factory=list)

    def freeze(self, frozen: bool) -> bool:
        """Stop or start its gradients; says whether that changed anything."""
        changed = [p for p in self.parameters if p.requires_grad == frozen]
        for parameter in changed:
            parameter.requires_grad_(not frozen)
            parameter.grad = None  # else an optimizer would go on moving it by weight decay and momentum
        return bool(changed)


def find_head(net: nn.Module, name: str = "auto") -> str:
    """The dotted name of the module that maps features to logits.

    Args:
        net: any net.
        name: the name to check; ``auto``: what timm's ``get_classifier`` says, else the last `nn.Linear`.

    Raises:
        UserError: if there is none.

    Example:
        >>> find_head(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)))
        '2'
    """
    modules: dict[str, Any] = dict(net.named_modules())
    linear = [key for key, module in modules.items() if isinstance(module, nn.Linear)]
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
    """The stages of a net's backbone, in the order in which the net registers them, that is nearly always forwards.

    One rule for any net. Its direct parts are stages, but a part that holds the head, and a Sequential, ModuleList or
    ModuleDict without a number at the end of its name (``features``, ``blocks``, but not ``layer1``: that is one of a
    series), is opened and its parts count instead; so is a part that is alone. Parts without weights of two dimensions
    or more (normalization, activations, pooling) join the stage before them. Parameters that an opened part owns itself
    join the first stage.

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
    weighty = True  # whether the last stage has weights, so that the next weights start another
    for name, module in parts:
        has_weights = any(p.ndim > 1 for p in module.parameters())
        if not stages or (has_weights and weighty):
            stages.append(Stage(name))
            weighty = False
        if has_weights and not weighty:
            stages[-1].name, weighty = name, True
        stages[-1].parts.append(name)
    return _share_out(net, net.get_submodule(head), stages)


def _open(module: nn.Module, prefix: str, head: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if child is head:
            continue
        series = name[-1].isdigit()
        if any(part is head for part in child.modules()) or (isinstance(child, _CONTAINERS) and not series):
            yield from _open(child, f"{prefix}{name}.", head)
        else:
            yield prefix + name, child


def _share_out(net: nn.Module, head: nn.Module, stages: list[Stage]) -> list[Stage]:
    """Give every trained parameter outside the head to the first stage that has it."""
    taken = {id(p) for p in head.parameters()}
    for stage in stages:
        for parameter in (p for name in stage.parts for p in net.get_submodule(name).parameters()):
            if id(parameter) not in taken and parameter.requires_grad:
                taken.add(id(parameter))
                stage.parameters.append(parameter)
    loose = [p for p in net.parameters() if id(p) not in taken and p.requires_grad]
    if stages:
        stages[0].parameters += loose
    return stages


def make_head(linear: nn.Module, hidden_sizes: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Fully connected layers in place of one: Linear, ReLU, Dropout, ..., Linear.

    Args:
        linear: the `nn.Linear` to replace: its numbers of inputs and outputs stay.
        hidden_sizes: units of every hidden layer.
        dropout: probability of dropping a hidden unit in training.

    Raises:
        UserError: if ``linear`` is something else.
    """
    if not isinstance(linear, nn.Linear):
        raise UserError(
            f"head_sizes replaces one Linear layer, but the head is a {type(linear).__name__}: leave one out"
        )
    if not 0 <= dropout < 1 or min(hidden_sizes, default=1) < 1:
        raise UserError(f"head_sizes is {hidden_sizes}, head_dropout {dropout}: give positive sizes, a share below 1")
    layers: list[nn.Module] = []
    sizes = (linear.in_features, *hidden_sizes, linear.out_features)
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    layers = layers[: -2 if dropout else -1]  # neither ReLU nor dropout on the logits
    return nn.Sequential(*layers)


def load_backbone(net: nn.Module, head: str, weights: dict[str, Any], source: str, keep_head: bool) -> None:
    """Copy weights by name into a net; its head takes what fits if it is to be kept, else nothing.

    Raises:
        UserError: if names or shapes of the rest differ, with the names.
    """
    own = net.state_dict()

    def of_head(name: str) -> bool:
        return name.startswith(f"{head}.")

    fits = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    troubles = {
        "missing": [name for name in own if name not in weights and not of_head(name)],
        "unexpected": [name for name in weights if name not in own and not of_head(name)],
        "of another shape": [n for n in weights if n in own and n not in fits and not of_head(n)],
    }
    told = [
        f"{what} {', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''}"
        for what, names in troubles.items()
        if names
    ]
    if told:
        raise UserError(
            f"{source} does not fit {type(net).__name__}: {'; '.join(told)}; give the net it was trained with"
        )
    net.load_state_dict({n: v for n, v in fits.items() if keep_head or not of_head(n)}, strict=False)
