"""A net and a run that take a moment, and what is left of a command."""

from collections.abc import Callable
from typing import NamedTuple

# A net and a run that take a moment. Dropout makes a run depend on its seed in one more place.
SMALL_NET = ["--model.net.channels=[4,8]", "--model.net.hidden_sizes=[16]", "--model.net.dropout=0.2"]
SHORT = ["--trainer.limit_train_batches=3", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
# A schedule that asks for the length of the run makes Lightning set the loaders up early. The dashboards draw half a
# second a run, which is longer than it trains: what is about them says WATCHED after it.
SMALL = [*SMALL_NET, *SHORT, "--data.batch_size=32", "--model.scheduler=WarmupCosineLR", "--watch=null"]
WATCHED = "--watch={}"  # as by default


class CommandResult(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., CommandResult]
