"""Photos with cnnkit: the card for folders as it is, for two epochs."""

from benchmarks.peers.lightning_watch import LightningWatch
from benchmarks.peers.watch import Watch
from cnnkit.cli import main


def train(watch: Watch) -> None:
    """Fit."""
    fit(watch)


def fit(watch: Watch, *more: str) -> None:
    """Fit with further words; it is the first run of a folder, so nothing is decoded yet."""
    job = watch.job
    LightningWatch.watch = watch
    words = ["--config", "folder_resnet18", f"--seed_everything={job.seed}"]
    words += [f"--trainer.default_root_dir={job.folder}/runs", f"--trainer.max_epochs={job.max_epochs}"]
    store = f"{job.folder}/data-{job.seed}-{job.bf16}-{len(more)}"  # one for each side and round
    words += [f"--data.root={job.folder}/photos", f"--data.data_dir={store}"]
    words += [f"--data.num_workers={job.workers}", f"--data.batch_size={job.batch}", "--data.test_size=0"]
    words += ["--trainer.callbacks+=benchmarks.peers.lightning_watch.LightningWatch"]
    words += more
    words += [] if job.bf16 else ["--trainer.precision=32-true"]
    if main(["fit", *words]):
        raise RuntimeError("fit failed")
