"""What the trainer's limits leave out is not recorded as trained on, and one limit that outweighs others says so."""

import pytest
from small_runs import SMALL, Cli

from cnnkit.cli.fit.trainer_values import describe_ignored_limits
from cnnkit.precision import describe_slow_precision
from cnnkit.runs import find

NO_LIMIT = [word for word in SMALL if not word.startswith("--trainer.limit_train")]


@pytest.mark.parametrize(
    ("words", "train", "val"),
    [
        (["--trainer.limit_train_batches=3", "--trainer.limit_val_batches=1"], 96, (40, 100)),
        (["--trainer.limit_train_batches=0.01"], 96, (100, None)),  # 3 of 309 batches of 32
        (["--trainer.overfit_batches=2"], 64, (64, 100)),
    ],
)
def test_the_manifest_has_the_images_of_an_epoch(
    cli: Cli, words: list[str], train: int, val: tuple[int, int | None]
) -> None:
    ended = cli("fit", *NO_LIMIT, *words, "--data.val_size=100", "--data.eval_batch_size=40")
    assert ended.code == 0, ended.err
    data = find("runs").manifest()["data"]
    assert (data["train_images"], data["val_images"], data.get("split_val_images")) == (train, *val)
    assert data["split_train_images"] == 9900
    if "overfit" not in words[0]:
        assert f"limit_train_batches  {train} of the training images an epoch\n" in ended.out
        assert (f"limit_val_batches    {val[0]} of the validation images\n" in ended.out) == (val[1] is not None)


def test_overfit_batches_says_which_limits_it_replaces() -> None:
    given = {"overfit_batches": 2, "limit_train_batches": 3, "limit_val_batches": None}
    assert describe_ignored_limits(given) == [
        "trainer.overfit_batches (2) takes the place of trainer.limit_train_batches (3)"
    ]
    assert describe_ignored_limits({**given, "overfit_batches": 0.0}) == []
    assert describe_ignored_limits({"overfit_batches": 2, "limit_train_batches": None, "limit_val_batches": None}) == []


def test_float16_on_a_cpu_is_said_to_be_slow() -> None:
    assert "bf16-true" in describe_slow_precision("16-true", "cpu")[0]
    for precision, device in (("16-true", "cuda"), ("bf16-true", "cpu"), ("32-true", "cpu")):
        assert describe_slow_precision(precision, device) == []
