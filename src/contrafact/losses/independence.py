"""How dependent the dimensions of a Gaussian code are: KL to the prior, its parts, and total correlation.

The aggregate posterior q(z) = mean over images of q(z | x) is a mixture with one component per image. Its density at a
batch of samples needs every (sample, component, dimension) triple; :func:`mean_log_densities` visits them in blocks
that stay in the processor's cache and forms no ``(N, M, J)`` tensor, forward or backward.

Shape suffixes: N samples, M mixture components, J code dimensions, B samples of a block.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

Estimator = Literal["weighted", "stratified"]
BLOCK = {"cpu": 2**18}
"""Numbers a block may hold: a megabyte on a CPU, where it must stay in the cache; elsewhere ``2**24``."""
NEGLIGIBLE = -64.0
"""Log of a share that counts as no less: numbers too small for full precision are slow to compute."""
LOG_2_PI = math.log(2 * math.pi)


class Posterior(NamedTuple):
    """Diagonal Gaussians, one per image, and a sample of each.

    Attributes:
        mean: ``(N, J)``.
        log_variance: ``(N, J)``.
        sample: ``(N, J)``.
    """

    mean: Tensor
    log_variance: Tensor
    sample: Tensor


class KLTerms(NamedTuple):
    """Parts of the mean KL divergence from the prior, in nats (Chen et al. 2018, Eq. 2).

    Attributes:
        mutual_information: what a code tells about which image it belongs to.
        total_correlation: what the code's dimensions tell about each other.
        dimension_kl: how far the dimensions are from the prior, each for itself.
    """

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_kl: Tensor


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of diagonal Gaussians ``(N, J)`` from the standard normal, in nats: ``(J,)``, mean over N.

    >>> kl_to_standard_normal(torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2))
    tensor([0., 2.])
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=0)


def kl_terms(codes: Posterior, dataset_size: int, estimator: Estimator = "weighted") -> KLTerms:
    """Estimates, from one batch, of the three terms that a VAE's KL divergence is the sum of.

    Args:
        codes: posteriors of a batch of images drawn at random, and a sample of each.
        dataset_size: images in the dataset.
        estimator: how components of the batch stand for those of the dataset. ``weighted``: each counts alike (Chen et
            al. 2018, Eq. S3; its constant log N, which shifts values and no gradient, is left out). ``stratified``:
            a sample's own component counts 1/N, the others for the rest (Eq. S7), which makes q(z) unbiased.

    Raises:
        ValueError: ``stratified`` with a batch larger than the dataset.
    """
    log_weight_NM = None
    if estimator == "stratified":
        log_weight_NM = stratified_log_weights(len(codes.mean), dataset_size).to(codes.mean)
    log_joint, log_product = mean_log_densities(codes.sample, codes.mean, codes.log_variance, log_weight_NM)
    deviation = (codes.sample - codes.mean).square() * (-codes.log_variance).exp()
    log_posterior = -0.5 * (deviation + codes.log_variance + LOG_2_PI).sum(dim=1).mean()
    log_prior = -0.5 * (codes.sample.square() + LOG_2_PI).sum(dim=1).mean()
    return KLTerms(log_posterior - log_joint, log_joint - log_product, log_product - log_prior)


def stratified_log_weights(batch_size: int, dataset_size: int) -> Tensor:
    """Logarithms of the weights ``(N, N)`` of the batch's components for each of its samples; rows sum to 1.

    With M = N − 1 other images: 1/dataset_size for a sample's own component, 1/M for each other but one, and what is
    left for that one (the authors' program puts these in the first two columns instead of beside the diagonal).

    Raises:
        ValueError: a batch larger than the dataset, or of one image.
    """
    others = batch_size - 1
    if not 2 <= batch_size <= dataset_size:
        raise ValueError(
            f"stratified sampling needs a batch of 2 images to as many as the dataset has ({dataset_size}), got "
            f"{batch_size}; set batch_size, or estimator='weighted'"
        )
    weights = torch.full((batch_size, batch_size), 1 / others)
    weights.fill_diagonal_(1 / dataset_size)
    row = torch.arange(batch_size)
    weights[row, (row + 1) % batch_size] = (dataset_size - others) / (dataset_size * others)
    return weights.log()


def mean_log_densities(
    sample_NJ: Tensor, mean_MJ: Tensor, log_variance_MJ: Tensor, log_weight_NM: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Log-density of a mixture of diagonal Gaussians, and of the product of its marginals; means over the samples.

    Args:
        sample_NJ: where to evaluate.
        mean_MJ: the components' means.
        log_variance_MJ: their log-variances.
        log_weight_NM: logarithm of each component's weight, for each sample; None for equal weights 1/M.

    Returns:
        mean of log q(z), and of Σ_j log q(z_j): scalars, differentiable once, in all but the weights.
    """
    values: tuple[Tensor, Tensor] = _MeanLogDensities.apply(  # type: ignore[no-untyped-call]
        sample_NJ, mean_MJ, log_variance_MJ, log_weight_NM
    )
    return values


class _MeanLogDensities(torch.autograd.Function):
    """Values and gradients in one pass over blocks: both need the same exponentials, which are what costs.

    With a = log q(z_i | component m) + log weight and p = softmax of a over m, the gradients of a mean log-density are
    sums of p·w·(z − μ) and of p·(w·(z − μ)² − 1)/2, w = 1/σ². Written out in powers of z, each is a product of p with a
    narrow matrix, over components for z and over samples for μ and log σ².
    """

    @staticmethod
    def forward(
        ctx: Any, sample_NJ: Tensor, mean_MJ: Tensor, log_variance_MJ: Tensor, log_weight_NM: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(sample_NJ.device.type, enabled=False):
            values, joint, product = _visit_blocks(sample_NJ, mean_MJ, log_variance_MJ, log_weight_NM)
        ctx.save_for_backward(*joint, *product)
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, joint: Tensor, product: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        mixed = [joint * a + product * b for a, b in zip(saved[:3], saved[3:], strict=True)]
        return (*mixed, None)


def _visit_blocks(
    sample_NJ: Tensor, mean_MJ: Tensor, log_variance_MJ: Tensor, log_weight_NM: Tensor | None
) -> tuple[tuple[Tensor, Tensor], list[Tensor], list[Tensor]]:
    """Mean log-density and mean log-product, and the gradients of each to samples, means and log-variances."""
    (n, dims), m = sample_NJ.shape, len(mean_MJ)
    sample_JN, mean_JM, log_variance_JM = (x.T.contiguous() for x in (sample_NJ, mean_MJ, log_variance_MJ))
    precision_JM = (-log_variance_JM).exp()
    scale_JM = (0.5 * precision_JM).sqrt()
    shift_JM, height_JM = -mean_JM * scale_JM, -0.5 * (log_variance_JM + LOG_2_PI)
    moments_J3M = torch.stack([torch.ones_like(mean_JM), precision_JM, mean_JM * precision_JM], dim=1)
    weighted_M = moments_J3M[:, 1:].transpose(0, 1).reshape(2 * dims, m).T  # (M, 2J): w, then w·μ
    powers_J3N = torch.stack([torch.ones_like(sample_JN), sample_JN, sample_JN.square()], dim=1)
    by_sample_joint_2JN, by_sample_J3N = sample_JN.new_empty(2 * dims, n), torch.empty_like(powers_J3N)
    by_component_joint_J3M, by_component_J3M = torch.zeros_like(moments_J3M), torch.zeros_like(moments_J3M)
    log_joint, log_product = sample_NJ.new_zeros(()), sample_NJ.new_zeros(())
    rows = max(1, BLOCK.get(sample_NJ.device.type, 2**24) // (dims * m))
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        # log q(z_ij | m) = h − (s·z − s·μ)², with s = 1/(σ√2).
        a_JBM = torch.addcmul(shift_JM[:, None], sample_JN[:, block, None], scale_JM[:, None])
        torch.addcmul(height_JM[:, None], a_JBM, a_JBM, value=-1, out=a_JBM)
        joint_BM = a_JBM.sum(dim=0)
        if log_weight_NM is not None:
            joint_BM += log_weight_NM[block]
            a_JBM += log_weight_NM[block]
        highest_JB1 = a_JBM.amax(dim=2, keepdim=True)
        p_JBM = a_JBM.sub_(highest_JB1).clamp_min_(NEGLIGIBLE).exp_()  # not yet divided by its sum
        by_sample_J3N[:, :, block] = torch.bmm(moments_J3M, p_JBM.transpose(1, 2))
        total_JB = by_sample_J3N[:, 0, block]
        log_product += (highest_JB1[..., 0] + total_JB.log()).sum()
        by_component_J3M.baddbmm_(powers_J3N[:, :, block] / total_JB[:, None], p_JBM)
        highest_B1 = joint_BM.amax(dim=1, keepdim=True)
        p_BM = joint_BM.sub_(highest_B1).clamp_min_(NEGLIGIBLE).exp_()
        total_B1 = p_BM.sum(dim=1, keepdim=True)
        log_joint += (highest_B1 + total_B1.log()).sum()
        p_BM /= total_B1
        by_sample_joint_2JN[:, block] = (p_BM @ weighted_M).T
        by_component_joint_J3M += (powers_J3N[:, :, block].flatten(0, 1) @ p_BM).view(dims, 3, m)
    if log_weight_NM is None:
        log_joint -= n * math.log(m)
        log_product -= n * dims * math.log(m)

    def gradients(w_JN: Tensor, wmu_JN: Tensor, powers_J3M: Tensor) -> list[Tensor]:
        one, z, z2 = powers_J3M.unbind(dim=1)
        to_sample = wmu_JN - sample_JN * w_JN
        to_mean = precision_JM * (z - mean_JM * one)
        to_log_variance = 0.5 * (precision_JM * (z2 - 2 * mean_JM * z + mean_JM.square() * one) - one)
        return [gradient.T / n for gradient in (to_sample, to_mean, to_log_variance)]

    w_JN, wmu_JN = by_sample_joint_2JN.view(2, dims, n)
    joint = gradients(w_JN, wmu_JN, by_component_joint_J3M)
    total_JN, w_JN, wmu_JN = by_sample_J3N.unbind(dim=1)
    product = gradients(w_JN / total_JN, wmu_JN / total_JN, by_component_J3M)
    return (log_joint / n, log_product / n), joint, product
