"""The LightningModules."""

from cnnkit.tasks.auxiliary import AuxiliaryLossTask
from cnnkit.tasks.classification import ClassificationTask
from cnnkit.tasks.transfer import TransferTask

__all__ = ["AuxiliaryLossTask", "ClassificationTask", "TransferTask"]
