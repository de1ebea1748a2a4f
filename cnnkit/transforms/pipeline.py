"""The training pipeline: it turns uint8 images and integer labels into the input of the net and of the loss."""

from collections.abc import Sequence

from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.randomness import Counter, mix_seed
from cnnkit.transforms.base import Transform
from cnnkit.transforms.mix import Mix
from cnnkit.transforms.normalize import Normalize
from cnnkit.transforms.progressive import ProgressiveResize
from cnnkit.transforms.resized_crop import RandomResizedCrop


class Augment(nn.Module):
    """Augment, normalize and mix a training batch on its device; evaluation uses ``normalize`` alone.

    Order: the transforms as given, normalization, the transforms of normalized images (erasing), one mix. The stream of
    a transform is its place in the list, so another one at the end does not change the numbers of the others.

    Args:
        transforms: transforms to apply. Of several mixes one is chosen for each batch, all equally likely.
        normalize: turns pixels into the net's input.

    Raises:
        UserError: a transform is neither a ``Transform`` nor a ``Mix``.
    """

    def __init__(self, transforms: Sequence[Transform | Mix], normalize: Normalize) -> None:
        super().__init__()
        for transform in transforms:
            if not isinstance(transform, Transform | Mix):
                raise UserError(
                    f"Augment: {transform!r} is not a batched augmentation; subclass cnnkit.transforms.Transform."
                )
        self.transforms = nn.ModuleList(transforms)
        self.normalize = normalize
        numbered = list(enumerate(transforms))
        self._before = [(i, t) for i, t in numbered if isinstance(t, Transform) and not t.after_normalize]
        self._after = [(i, t) for i, t in numbered if isinstance(t, Transform) and t.after_normalize]
        self._mixes = [(i, t) for i, t in numbered if isinstance(t, Mix)]

    def set_size(self, size: tuple[int, int]) -> bool:
        """Bring images to a height and width where they are cropped at random; return whether they are.

        Raises:
            UserError: a crop would undo a ``ProgressiveResize`` before it.
        """
        crops = [k for k, transform in enumerate(self.transforms) if isinstance(transform, RandomResizedCrop)]
        for place in crops:
            if any(isinstance(transform, ProgressiveResize) for transform in self.transforms[:place]):
                raise UserError("augment: RandomResizedCrop undoes the ProgressiveResize before it; put it first")
            self.transforms[place].size = size  # type: ignore[assignment]
        return bool(crops)

    def check_images(self, channels: int, size: tuple[int, int]) -> None:
        """Refuse images, of a height and width, that a transform cannot change, with a `UserError`."""
        sizes: set[tuple[int, ...]] = {size}
        for transform in self.transforms:
            if isinstance(transform, ProgressiveResize):
                sizes |= {tuple(transform.shrink(each)) for each in sizes}
            elif isinstance(transform, Transform):
                for each in sorted(sizes, reverse=True):
                    try:
                        transform.check_images(channels, each)
                    except UserError as error:
                        raise UserError(f"augment: {error}") from None

    def forward(
        self, images: Tensor, labels: Tensor, counter: Counter, number: int, num_classes: int
    ) -> tuple[Tensor, Tensor]:
        """Return images (B, C, H, W), float32 in channels_last, and labels: soft if there is a mix, else as given.

        Args:
            images: (B, C, H, W), uint8 or float32 in [0, 1].
            labels: (B,) int64 or (B, K) soft labels.
            counter: identifies the B images.
            number: number of the batch in the epoch.
            num_classes: K.
        """
        for stream, transform in self._before:
            images = transform(images, counter.at_stream(stream))
        images = self.normalize(images)
        for stream, transform in self._after:
            images = transform(images, counter.at_stream(stream))
        if not self._mixes:
            return images, labels
        seed, epoch = counter.seed, counter.epoch
        stream, mix = self._mixes[mix_seed(seed, epoch, number) % len(self._mixes)]
        mixed: tuple[Tensor, Tensor] = mix(images, labels, num_classes, seed, epoch, number, stream)
        return mixed
