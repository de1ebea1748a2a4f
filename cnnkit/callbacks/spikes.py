"""Lightning's detection of spikes in the loss, made to survive a resume."""

from lightning.pytorch.callbacks import SpikeDetection as LightningSpikeDetection
from torchmetrics.wrappers import Running


class SpikeDetection(LightningSpikeDetection):
    """Ends a run whose loss jumps, and writes down which batches to leave out; see Lightning's class of this name.

    After a resume Lightning's class looks for its running mean under another name. The mean itself starts again.
    """

    @property
    def running(self) -> Running:
        """The running mean of the loss, under the name that `load_state_dict` looks for."""
        return self.running_mean
