"""Filters that decorrelate pixels: PCA whitening of patches (Page 2019; Jordan 2024, arXiv 2404.00498)."""

import torch
from torch import Tensor


def whitening_filters(images: Tensor, kernel_size: int, eps: float = 5e-4) -> Tensor:
    """Compute filters whose outputs have variance 1 and no correlation over the patches of these images.

    The filters are the eigenvectors of the patches' covariance, each divided by the root of its eigenvalue + ``eps``,
    in the order of falling eigenvalues.

    Args:
        images: (N, C, H, W), as the net takes them.
        kernel_size: height and width k of a patch.
        eps: keeps directions without variance small.

    Returns:
        Filters (C k k, C, k, k), float32. The sign of each is chosen so that its largest entry is positive.

    Example:
        >>> noise = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> out = torch.nn.functional.conv2d(noise, whitening_filters(noise, 2)).transpose(0, 1).flatten(1)
        >>> torch.allclose(torch.cov(out), torch.eye(4), atol=0.01)
        True
    """
    channels = images.shape[1]
    windows = images.float().unfold(2, kernel_size, 1).unfold(3, kernel_size, 1)  # (N, C, H', W', k, k)
    patches = windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)  # (N H' W', C k k)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T.double()))
    filters = (vectors / (values.clamp(min=0) + eps).sqrt()).T.flip(0)
    largest = filters.gather(1, filters.abs().argmax(1, keepdim=True))
    signed: Tensor = (filters * largest.sign()).float()
    return signed.view(-1, channels, kernel_size, kernel_size)
