"""``augment: medium`` in a file and on the command line, and what a configuration then says."""

from pathlib import Path

import pytest
from small_runs import SMALL, Cli

from cnnkit.cli.parsing.build import build_from_config
from cnnkit.transforms import build_preset


def names_of(*words: str) -> list[str]:
    built = build_from_config(words)
    listed = built.config["data"]["init_args"]["augment"]
    names = [part["class_path"].rpartition(".")[2] for part in listed]
    assert names == [type(transform).__name__ for transform in built.data.augmentation.transforms]  # type: ignore[attr-defined]
    return names


@pytest.mark.parametrize("name", ["light", "medium", "strong"])
def test_a_preset_is_spelled_out(name: str, tmp_path: Path) -> None:
    expected = [type(transform).__name__ for transform in build_preset(name)]
    assert names_of("--data.augment", name) == expected
    file = tmp_path / "preset.yaml"
    file.write_text(f"data: {{class_path: FashionMNISTSample, init_args: {{augment: {name}}}}}\n")
    assert names_of("--config", str(file)) == expected
    assert names_of("--config", str(file), "--data.augment+=Cutout") == [*expected, "Cutout"]
    assert names_of("--data.augment", f"[{name}, Cutout]") == [*expected, "Cutout"]


def test_a_wrong_preset_ends_in_one_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("data:\n  class_path: FashionMNISTSample\n  init_args:\n    augment: mediun\n")
    ended = cli("fit", "--config", str(file))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert (
        "line 4: data.augment is mediun: it takes a list of transforms, or a preset; did you mean medium?" in ended.err
    )


@pytest.mark.parametrize(
    ("augment", "reason"),
    [
        (
            "[{class_path: ColorJitter, init_args: {hue: 0.7}}]",
            "hue is 0.7: ColorJitter takes a number between 0 and 0.5",
        ),
        (
            "[{class_path: GaussianBlur, init_args: {kernel_size: 4}}]",
            "kernel_size is 4: GaussianBlur takes an odd number",
        ),
        (
            "[{class_path: RandAugment, init_args: {magnitude: 31}}]",
            "magnitude is 31: RandAugment takes a number between",
        ),
        ("RandomCrop", "write [RandomCrop]"),
    ],
)
def test_wrong_arguments_end_before_training(cli: Cli, augment: str, reason: str) -> None:
    ended = cli("fit", *SMALL, "--data.augment", augment)
    assert (ended.code, ended.err.count("\n") <= 3) == (2, True)
    assert reason in ended.err
    assert not Path("runs").exists()
