"""Transfer learning: a pretrained backbone and a new head.

Lower rates for lower stages, and stages released one after the other: Howard & Ruder 2018, arXiv 1801.06146. First the
head alone, then all of the net: Kumar et al. 2022, arXiv 2202.10054.
"""

from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cnnkit.errors import UserError
from cnnkit.optim import decay_groups
from cnnkit.tasks.classification import ClassificationTask
from cnnkit.tasks.embeddings import use_embeddings
from cnnkit.tasks.loss import match_dtype
from cnnkit.tasks.stages import Stage, find_head, find_stages, load_backbone, make_head
from cnnkit.weights import pretrained_skipped, read_weights

Mode = Literal["frozen", "finetune", "gradual", "embeddings"]
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class TransferTask(ClassificationTask):
    """Train a net with a pretrained backbone.

    The net is a backbone, in stages (see `cnnkit.tasks.stages.find_stages`), and a head, which always trains at the
    optimizer's rate. Frozen stages do not change: they have no gradient, no weight decay and no momentum. They stay in
    evaluation mode, so batch norm keeps its statistics and dropout is off.

    Args:
        net: the net, which maps images to logits, with its own pretrained weights or those of ``weights``.
        mode: what trains beside the head. ``frozen``: nothing. ``finetune``: the backbone, at its own rates.
            ``gradual``: its stages from the top, one more at each epoch of ``unfreeze_at``. ``embeddings``: nothing;
            the backbone runs once over the images, not augmented, and the head trains on its features, which are kept
            on disk. Test and prediction run the whole net.
        head: dotted name of the head; ``auto``: the module of timm's ``get_classifier``, else the net's last Linear.
        head_sizes: units of hidden layers in a new head, which replaces the head if that is a Linear.
        head_dropout: probability of dropping a hidden unit of the new head in training.
        weights: file or run folder of weights for the backbone, see `cnnkit.weights.read_weights`. It is not read when
            a checkpoint is loaded, which has all weights.
        keep_head: load the head from ``weights``, too, as far as its shapes fit: to fine-tune after a run in mode
            ``frozen`` or ``embeddings``.
        backbone_lr_ratio: learning rate of the backbone's top stage as a share of the head's.
        layer_decay: factor on the rate from each stage to the one below it; by default all stages have one rate.
        unfreeze_at: in mode ``gradual``, the epochs, counted from 0, at which the next stage from the top is released;
            the last epoch releases all stages that are left.
        freeze_norm: keep the pretrained statistics of the backbone's batch norm while its weights train. Small batches
            and short runs give poor statistics.
        cache_dir: folder of the features in mode ``embeddings``, which can be deleted at any time; by default
            ``.cnnkit/embeddings`` in the folder of the data sets.
        **kwargs: as for ClassificationTask.

    Raises:
        UserError: the net has no such head, the weights do not fit it, or an argument is out of range.
    """

    def __init__(
        self,
        net: nn.Module,
        mode: Mode = "finetune",
        head: str = "auto",
        head_sizes: tuple[int, ...] = (),
        head_dropout: float = 0.0,
        weights: str | None = None,
        keep_head: bool = False,
        backbone_lr_ratio: float = 0.1,
        layer_decay: float | None = None,
        unfreeze_at: tuple[int, ...] = (),
        freeze_norm: bool = False,
        cache_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check(mode, backbone_lr_ratio, layer_decay, unfreeze_at)
        head_name = find_head(net, head)
        if head_sizes:
            net.set_submodule(head_name, make_head(net.get_submodule(head_name), tuple(head_sizes), head_dropout))
        elif head_dropout:
            raise UserError(f"head_dropout is {head_dropout}, but there are no head_sizes: give both, or none")
        if weights is not None and not pretrained_skipped():
            load_backbone(net, head_name, read_weights(weights), weights, keep_head)
        super().__init__(net, **kwargs)
        self.mode, self.head_name, self.freeze_norm, self.cache_dir = mode, head_name, freeze_norm, cache_dir
        self.backbone_lr_ratio, self.layer_decay = backbone_lr_ratio, layer_decay
        self.stages = find_stages(net, head_name)
        self.unfreeze_at = tuple(unfreeze_at)
        if len(self.unfreeze_at) > len(self.stages):
            names = ", ".join(stage.name for stage in self.stages)
            raise UserError(f"unfreeze_at has {len(unfreeze_at)} epochs for {len(self.stages)} stages: {names}")
        self._fitting = False
        self._frozen: list[Stage] = []
        self._held: list[nn.Module] = []  # modules in evaluation mode because they are frozen

    @property
    def head(self) -> nn.Module:
        """The module that maps features to logits."""
        return self.net.get_submodule(self.head_name)

    def count_released(self, epoch: int) -> int:
        """Count the stages, from the top, that train in an epoch; it depends on mode and epoch only."""
        if self.mode in ("frozen", "embeddings"):
            return 0
        if self.mode == "finetune" or epoch >= self.unfreeze_at[-1]:
            return len(self.stages)
        return sum(epoch >= start for start in self.unfreeze_at)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the head's group first; frozen stages have groups too, so that schedules and resumes fit."""
        backbone = {id(p) for stage in self.stages for p in stage.parameters}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in backbone]
        groups = decay_groups(rest, self.decay_norm_and_bias, "head")
        if self.mode in ("frozen", "embeddings"):
            return groups
        if self.layer_decay is None and self.mode == "finetune":
            whole = [p for stage in self.stages for p in stage.parameters]
            return groups + decay_groups(whole, self.decay_norm_and_bias, "backbone", lr_scale=self.backbone_lr_ratio)
        # One group a stage: fused SGD needs momentum for all parameters of a group or for none.
        for depth, stage in enumerate(reversed(self.stages)):
            scale = self.backbone_lr_ratio * (self.layer_decay or 1.0) ** depth
            groups += decay_groups(stage.parameters, self.decay_norm_and_bias, stage.name, lr_scale=scale)
        return groups

    def configure_optimizers(self) -> Any:
        """In mode ``embeddings``, compute the features first, before the loaders are set up."""
        if self.mode == "embeddings":
            folder = Path(self.cache_dir) if self.cache_dir else None
            use_embeddings(self.trainer, self.net, self.head_name, folder)
        return super().configure_optimizers()

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), or in mode ``embeddings`` features (B, D), to logits (B, K)."""
        if images.ndim == 2 and self.mode == "embeddings":
            return self.head(match_dtype(images, self.head))  # type: ignore[no-any-return]
        return super().forward(images)

    # ---- freezing ------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Freeze before a distributed strategy registers the parameters with gradients."""
        super().setup(stage)
        if stage == "fit":
            ddp = isinstance(self.trainer.strategy, DDPStrategy)
            if self.mode == "gradual" and self.trainer.world_size > 1 and not ddp:
                raise UserError(
                    "mode gradual on several devices needs trainer.strategy=ddp: others cannot release stages"
                )
            self._freeze(0)

    def on_train_start(self) -> None:
        """Freeze for the epoch in which a resumed run continues."""
        super().on_train_start()
        self.on_train_epoch_start()

    def on_train_epoch_start(self) -> None:
        """Release the stages of this epoch, and keep the others in evaluation mode."""
        self._freeze(self.current_epoch)
        self._fitting = True
        self._hold()

    def on_train_end(self) -> None:
        self._frozen, self._fitting = [], False
        self._hold()

    def train(self, mode: bool = True) -> Self:
        """Set the mode, but keep frozen modules in evaluation mode."""
        super().train(mode)
        if mode:
            self._hold()
        return self

    def _freeze(self, epoch: int) -> None:
        count = len(self.stages) - self.count_released(epoch)
        changed = [stage.freeze(index < count) for index, stage in enumerate(self.stages)]
        self._frozen = self.stages[:count]
        strategy = self.trainer.strategy
        if any(changed) and isinstance(strategy.model, DistributedDataParallel):
            # DDP averages only the gradients that exist when it is set up: set it up again.
            strategy.model = self
            cast(DDPStrategy, strategy).configure_ddp()

    def _hold(self) -> None:
        for module in self._held:
            module.training = True
        frozen = [m for stage in self._frozen for part in stage.parts for m in self.net.get_submodule(part).modules()]
        in_head = set(self.head.modules())
        backbone = [m for m in self.net.modules() if m not in in_head]
        if frozen and len(self._frozen) == len(self.stages):  # modules of no stage, too
            frozen = backbone
        if self.freeze_norm and self._fitting:
            frozen += [m for m in backbone if isinstance(m, _BATCH_NORMS)]
        self._held = [module for module in frozen if module.training]
        for module in self._held:
            module.training = False


def _check(mode: str, ratio: float, decay: float | None, unfreeze_at: tuple[int, ...]) -> None:
    if mode not in get_args(Mode):
        raise UserError(f"mode is {mode!r}: give one of {', '.join(get_args(Mode))}")
    if not ratio > 0 or not (decay is None or 0 < decay <= 1):
        raise UserError(f"backbone_lr_ratio is {ratio}, layer_decay {decay}: give a ratio and a factor above 0, to 1")
    if mode == "gradual" and not unfreeze_at:
        raise UserError("mode gradual needs unfreeze_at, the epochs at which stages are released, such as [2, 4, 6]")
    if list(unfreeze_at) != sorted(unfreeze_at) or min(unfreeze_at, default=0) < 0:
        raise UserError(f"unfreeze_at is {list(unfreeze_at)}: give epochs in order, counted from 0")
