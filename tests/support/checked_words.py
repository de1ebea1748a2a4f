"""Words of a small run, and what `check` finds in them."""

from small_runs import SMALL_NET

from cnnkit.cli.commands.check import find_all

SMALL = [*SMALL_NET, "--data.batch_size=100", "--trainer.max_epochs=3"]
FOLDER = ["--data=ImageFolder", "--data.root=photos", "--data.image_size=16", "--data.num_workers=0"]


def found(*words: str) -> dict[str, str]:
    """The keys of the findings with their reasons."""
    return {finding.key: finding.reason for finding in find_all([*words])}
