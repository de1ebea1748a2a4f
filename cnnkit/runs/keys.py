"""Groups of configuration keys: those that a resume may change, and those that do not change a run's numbers.

Keys are named as on the command line, without ``init_args``; a key includes those below it.
"""

# Where a run stands, not what it is.
PLACES = ("name", "ckpt_path", "trainer.default_root_dir")
_LENGTH = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.min_epochs", "trainer.min_steps")
_EVALUATION = (
    "data.eval_batch_size",
    "trainer.limit_val_batches",
    "trainer.limit_test_batches",
    "trainer.limit_predict_batches",
    "trainer.check_val_every_n_epoch",
    "trainer.val_check_interval",
    "trainer.num_sanity_val_steps",
)
_DISPLAY = (
    "watch",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.log_every_n_steps",
    "trainer.logger",
    "trainer.profiler",
)
_LOADING = ("data.num_workers", "data.resident")
_DATA_PLACES = ("data.data_dir", "data.mirror", "data.root")
_MACHINE = ("trainer.accelerator", "trainer.devices", "trainer.num_nodes")

# What `fit --resume RUN --key value` may change. All else would make it another run, and is refused.
MAY_CHANGE = {
    "length of the run": _LENGTH,
    "evaluation": _EVALUATION,
    "display": _DISPLAY,
    "loading": _LOADING,
    "where the same data lie": (*_DATA_PLACES, "model.cache_dir"),
    "devices": _MACHINE,
}

# What two runs may differ in and still compute the same numbers. Not the length, not the devices; of the display only
# what no number depends on; and not data.root, which says for data without a fingerprint what they are.
WITHOUT_EFFECT = (
    *PLACES,
    "config",
    "watch",
    "trainer.enable_progress_bar",
    "trainer.logger",
    "data.data_dir",
    "data.mirror",
    *_LOADING,
    "model.cache_dir",
)


def covers(listed: tuple[str, ...], key: str) -> bool:
    """Whether a key, or one above it, is in a list.

    Example:
        >>> covers(("watch",), "watch.maps"), covers(("watch",), "watched")
        (True, False)
    """
    return any(key == name or key.startswith(f"{name}.") for name in listed)


def list_may_change() -> str:
    """Format the list of `MAY_CHANGE`, a line for each kind."""
    return "\n".join(f"  {kind}: {', '.join(keys)}" for kind, keys in MAY_CHANGE.items()) + "\n"
