"""cnnkit itself: ``fit`` as shipped, with the peers' optimizer and without augmentation."""

from benchmarks.common import fashion_mnist
from benchmarks.peers.lightning_watch import LightningWatch
from benchmarks.peers.watch import Watch
from cnnkit.cli import main


def train(watch: Watch) -> None:
    """Fit until the clock says stop; cnnkit's default precision is bf16-mixed where the CPU is fast in it."""
    job = watch.job
    LightningWatch.watch = watch
    words = [f"--trainer.default_root_dir={job.folder}", f"--trainer.max_epochs={job.max_epochs}"]
    words += ["--model.optimizer=torch.optim.Adam", "--model.optimizer.lr=1e-3"]
    words += ["--data", type(fashion_mnist()).__name__, f"--data.batch_size={job.batch}", "--data.augment=[]"]
    words += ["--trainer.callbacks+=benchmarks.peers.lightning_watch.LightningWatch"]
    words += [] if job.bf16 else ["--trainer.precision=32-true"]
    words += ["--trainer.limit_train_batches=4"] if job.quick else []
    if main(["fit", *words]):
        raise RuntimeError("fit failed")
