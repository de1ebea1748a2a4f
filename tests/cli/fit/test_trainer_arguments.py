"""Arguments of the trainer that did nothing, or failed in words of a library, at some time."""

import logging
from pathlib import Path

import pytest
from small_runs import SMALL, Cli

from cnnkit.cli.errors.exceptions import shorten_error
from cnnkit.cli.errors.messages import find_argument
from cnnkit.cli.fit.trainer_values import check_device, check_length, check_trainer
from cnnkit.errors import UserError
from cnnkit.runs import find


def check_all(given: dict[str, object]) -> None:
    check_trainer(given)
    check_device(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("val_check_interval", 0),
        ("val_check_interval", 0.0),
        ("val_check_interval", -1),
        ("check_val_every_n_epoch", 0),
        ("check_val_every_n_epoch", -1),
        ("accumulate_grad_batches", 0),
        ("log_every_n_steps", -1),
        ("max_epochs", -2),
        ("min_epochs", -1),
        ("min_steps", -1),
        ("num_nodes", 0),
        ("num_sanity_val_steps", -2),
        ("fast_dev_run", -1),
        ("gradient_clip_val", float("nan")),
        ("limit_val_batches", 2.5),
        ("limit_val_batches", -0.5),
        ("overfit_batches", -1),
        ("strategy", "ddp_spawn"),
        ("strategy", "ddp_notebook"),
        ("accelerator", "tpu"),
        ("model_registry", "name"),
    ],
)
def test_a_value_that_lightning_takes_to_do_nothing_or_fail_is_refused(name: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^trainer\.{name} ") as refused:
        check_all({name: value})
    assert len(str(refused.value)) < 200


def test_ordinary_values_are_let_through() -> None:
    check_trainer({"val_check_interval": 0.5, "limit_val_batches": 2.0, "max_epochs": -1, "log_every_n_steps": 0})
    check_trainer({"val_check_interval": "00:00:10:00", "fast_dev_run": True, "num_sanity_val_steps": -1})
    check_trainer({"strategy": "ddp", "accelerator": "cpu", "gradient_clip_val": None, "limit_val_batches": 0})
    check_length({"max_epochs": -1, "max_steps": -1, "max_time": "00:00:00:01"})
    check_length({"max_epochs": None, "max_steps": 5})


@pytest.mark.parametrize(
    "given",
    [
        {"max_epochs": 0},
        {"max_epochs": 3, "max_time": "00:00:00:00"},
        {"max_epochs": 3, "max_time": {"seconds": 0}},
        {"max_epochs": None, "max_steps": -1},  # Lightning makes 1,000 epochs of it
    ],
)
def test_a_fit_without_a_step_or_an_end_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"^trainer\.max_"):
        check_length(given)


def test_an_error_of_the_trainer_names_the_argument_that_was_given() -> None:
    given = {"accelerator": "cpu", "strategy": "fsdp", "precision": "32-true", "max_epochs": 2}
    text = "The strategy `fsdp` requires a GPU accelerator, but received `accelerator='cpu'`. Please set it."
    assert find_argument(text, given) == "strategy"
    given = {"precision": "transformer-engine", "max_epochs": 2}
    assert find_argument("Requirement 'transformer_engine>=0.11.0' not met.", given) == "precision"
    error = ValueError("`Trainer(devices='0')` value is not a valid input using cpu accelerator.")
    assert shorten_error(error) == "devices='0' value is not a valid input using cpu accelerator"
    missing = ModuleNotFoundError("Requirement 'psutil' not met. HINT: Try running `pip install -U 'psutil'`")
    assert shorten_error(missing) == "needs psutil, which is not installed"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--trainer.devices=0"], "trainer.devices"),
        (["--trainer.strategy=deepspeed"], "trainer.strategy"),
        (["--trainer.max_time=soon"], "trainer.max_time"),
        (["--trainer.val_check_interval=10"], "trainer.val_check_interval"),  # of an epoch of three batches
        (["--trainer.profiler=nonsense"], "trainer.profiler"),
    ],
)
def test_what_the_trainer_refuses_is_one_line_with_its_key(cli: Cli, words: list[str], key: str) -> None:
    ended = cli("fit", *SMALL, *words)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert ended.err.startswith(f"error: {key}")
    assert "`" not in ended.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("word", ["--trainer.fast_dev_run=2", "--trainer.barebones=true"])
def test_a_trial_says_how_it_went_and_leaves_nothing(cli: Cli, word: str) -> None:
    ended = cli("fit", *SMALL, word)
    assert ended.code == 0, ended.err
    steps = 2 if "fast" in word else 3
    assert f"{steps} steps in 1 epoch, no error" in ended.out
    assert "nothing was saved" in ended.out
    assert ("val/acc" in ended.out) is (steps == 2)  # barebones logs nothing
    assert not list(Path().iterdir())


def test_without_checkpoints_no_command_is_printed_that_would_fail(cli: Cli) -> None:
    ended = cli("fit", *SMALL, "--trainer.enable_checkpointing=false")
    assert ended.code == 0, ended.err
    assert "cnnkit test" not in ended.out
    assert "none was saved" in ended.out


def test_a_profiler_and_a_summary_print_their_tables(cli: Cli, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        words = ["--trainer.profiler=simple", "--trainer.callbacks+=ModelSummary"]
        assert cli("fit", *SMALL, *words).code == 0
    assert "run_training_epoch" in caplog.text
    assert "Trainable params" in caplog.text
    assert "GPU available" not in caplog.text  # nobody asked for that


def test_a_logger_of_a_user_adds_to_ours(cli: Cli) -> None:
    words = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=mine"]
    ended = cli("fit", *SMALL, *words)
    assert ended.code == 0, ended.err
    run = find("runs")
    assert "val/acc" in run.metrics.read_text()
    assert list(run.path.glob("events.out.*"))
    assert "val/acc" in next(Path("mine").rglob("metrics.csv")).read_text()
