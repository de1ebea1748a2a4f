from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import squeezenet1_1

from cnnkit.callbacks import load_checkpoint
from cnnkit.errors import UserError
from cnnkit.weights.checkpoints import check_weights_fit

WEIGHTS = {"w": torch.arange(4.0)}
WHOLE: dict[str, Any] = {
    "state_dict": WEIGHTS,
    "epoch": 0,
    "global_step": 3,
    "pytorch-lightning_version": "2.6.6",
}
FOREIGN: dict[str, tuple[Any, str]] = {
    "a list": ([1, 2], "holds a list of 2; a checkpoint of a run has state_dict, epoch, global_step and more"),
    "a tensor": (torch.zeros(2, 3), r"holds a tensor of shape \(2, 3\)"),
    "torchvision's": (
        squeezenet1_1().state_dict(),
        r"holds weights alone \(52 tensors, such as features\.0\.weight\).*fit --weights",
    ),
    "another program's": ({"model": WEIGHTS, "epoch": 3, "args": {}}, "holds model, epoch, args"),
    "without a step": (
        {key: value for key, value in WHOLE.items() if key != "global_step"},
        "holds state_dict, epoch, pytorch-lightning_version, but no global_step",
    ),
    "a step that is none": ({**WHOLE, "global_step": "3"}, "holds state_dict, epoch, global_step"),
    "no weights": ({**WHOLE, "state_dict": {}}, "holds state_dict"),
    "nothing": ({}, "holds nothing"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_checkpoint_of_a_run_is_one_line_with_both_sides(tmp_path: Path, name: str) -> None:
    content, said = FOREIGN[name]
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=rf"a\.ckpt: {said}") as caught:
        load_checkpoint(tmp_path / "a.ckpt")
    assert "\n" not in str(caught.value)


def test_other_formats_and_damage_are_told(tmp_path: Path) -> None:
    file, other = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    save_file(WEIGHTS, file)
    torch.save(WHOLE, other)
    with pytest.raises(UserError, match=r"holds a safetensors file; .*; there are .*b\.ckpt"):
        load_checkpoint(file)
    whole = other.read_bytes()
    for damaged, said in ((b"", "empty"), (whole[: len(whole) // 2], "damaged"), (b"<html>", "damaged")):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=said):
            load_checkpoint(file)
    with pytest.raises(UserError, match="a folder, where a file is needed"):
        load_checkpoint(tmp_path)


def test_weights_that_do_not_fit_are_told_with_both_sides() -> None:
    net = {"a.weight": torch.zeros(10, 4), "a.bias": torch.zeros(10)}
    same: dict[str, tuple[int, ...]] = {"a.weight": (10, 4), "a.bias": (10,)}
    check_weights_fit(same, net, Path("x"), "do this")
    for held, said in (
        (same | {"a.weight": (5, 4), "a.bias": (5,)}, r"its a\.weight is \(5, 4\), the net's is \(10, 4\) \(2 of 2"),
        ({"a.weight": (10, 4)}, r"it has no a\.bias, which the net has \(1 of 2 tensors\); do this"),
        (same | {"b": (1,)}, r"it has b, which the net has not \(1 of 3"),
        ({"b": (1,)}, r"it has no a\.weight, which the net has; it has b, which the net has not \(3 of 3"),
    ):
        with pytest.raises(UserError, match=said):
            check_weights_fit(held, net, Path("x"), "do this")
