"""Silences what other libraries print and what helps nobody. Standard library only."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

_NAMED_BY_USER = ("callbacks", "profilers", "tuner")  # parts of Lightning
_LIBRARIES, _SHARED = ("lightning.pytorch", "lightning.fabric"), "lightning.pytorch.utilities.rank_zero"
_EXPECTED = "Found current_model_state in the checkpoint"  # in each resume of a run with averaged weights


def quieten() -> None:
    """Silence what is known to be harmless, and advertising; everything else is shown."""
    for text in (
        ".*LeafSpec.*",
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # the metrics have summed over the ranks already
        ".*isinstance.treespec.*",
        ".*does not have many workers.*",
        ".*The number of training batches.*is smaller than the logging interval.*",
        ".*callbacks used to create the checkpoint need to be provided.*",
        ".*is already saved during checkpointing.*",
        ".*Total length of `list` across ranks is zero.*",  # of a part without images, which the first lines say
        ".*exists and is not empty.*",
        ".*Logging can impact raw speed so it is disabled.*",  # with barebones
        r"\s*Unable to serialize instance.*",  # see cnnkit.cli.parsing.plain_values
        ".*You defined a `validation_step` but have no `val_dataloader`.*",
        # Lightning looks for a checkpoint to resume from wherever a callback might have left one.
        ".*was called without a model. The last model of the previous `fit` call.*",
        ".*is set, but there is no last checkpoint available.*",
    ):
        warnings.filterwarnings("ignore", message=text)
    # Pillow's notices of single files (odd metadata, size): what matters about a file is an error that names it.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Profilers, finders, summaries and timers report by INFO, and run only where the user names them.
    for part in _NAMED_BY_USER:
        logging.getLogger(f"lightning.pytorch.{part}").setLevel(logging.INFO)
    shared = logging.getLogger(_SHARED)
    shared.setLevel(logging.INFO)
    if _is_shown not in shared.filters:
        shared.addFilter(_is_shown)


@contextlib.contextmanager
def keep_loggers() -> Iterator[None]:
    """Give the loggers that `quieten` changes their levels and filters back, for a program that goes on."""
    names = (*_LIBRARIES, *(f"lightning.pytorch.{part}" for part in _NAMED_BY_USER), _SHARED)
    before = [(logger, logger.level, list(logger.filters)) for logger in map(logging.getLogger, names)]
    try:
        yield
    finally:
        for logger, level, filters in before:
            logger.setLevel(level)
            logger.filters[:] = filters


def _is_shown(record: logging.LogRecord) -> bool:
    """Whether a message is a warning, or comes from something that the user has named, not from the trainer."""
    if record.getMessage().startswith(_EXPECTED):
        return False
    return record.levelno > logging.INFO or not set(_NAMED_BY_USER).isdisjoint(Path(record.pathname).parts)
