"""A net that cannot take the small images of the first epochs is refused before the first step."""

import pytest
from small_runs import SMALL, Cli

RESIZE = "--data.augment=[{class_path: ProgressiveResize, init_args: {scale: 0.5, epochs: 1}}]"


def test_a_net_of_a_fixed_size_is_named(cli: Cli) -> None:
    ended = cli("fit", *SMALL, RESIZE)
    assert ended.code == 2
    assert "data.augment: CNN does not take the images of 14x14 pixels that ProgressiveResize makes" in ended.err


@pytest.mark.parametrize("command", ["fit", "show-data"])
def test_a_net_of_any_size_trains_and_the_images_are_shown(cli: Cli, command: str) -> None:
    words = [*SMALL, "--model.net.global_pool=true"] if command == "fit" else []
    ended = cli(command, *words, RESIZE)
    assert ended.code == 0, ended.err
