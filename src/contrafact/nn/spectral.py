"""Streamed covariances and leading eigenvectors: what the closed-form direction finders share.

All in float64. Shape suffixes: N samples, X and Y dimensions, L dimensions, B columns of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def leading_eigenvectors(matrix_LL: Tensor, count: int, what: str) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues ``(count,)`` of a symmetric matrix, descending, and their vectors ``(count, L)``.

    The sign of an eigenvector is free; here its largest entry is positive, so that results can be compared.

    Args:
        matrix_LL: symmetric, with no negative eigenvalues.
        count: how many.
        what: subject and verb of :func:`check_rank`'s message.

    Raises:
        ValueError: more vectors asked for than there are dimensions, or than there are eigenvalues above zero.

    >>> leading_eigenvectors(torch.diag(torch.tensor([1.0, 3.0])), 1, "the example varies along")[1].tolist()
    [[0.0, 1.0]]
    """
    check_fit(count, len(matrix_LL))
    values_L, vectors_LL = torch.linalg.eigh(matrix_LL.cpu().double())
    values_L, vectors_LL = values_L.flip(0), vectors_LL.flip(1).T
    check_rank(values_L, count, what)
    return values_L[:count], oriented(vectors_LL[:count])


def check_fit(count: int, dim: int) -> None:
    """Refuse more orthogonal directions than there are dimensions (ValueError)."""
    if count > dim:
        raise ValueError(f"{count} orthogonal directions do not fit in {dim} dimensions; ask for at most {dim}")


def check_rank(values_L: Tensor, count: int, what: str, tolerance: float = 1e-10) -> None:
    """Refuse more directions than there are eigenvalues above zero.

    Args:
        values_L: eigenvalues, descending.
        count: directions asked for.
        what: subject and verb of the message: ``"W varies along"``.
        tolerance: eigenvalues up to this share of the largest count as zero.

    Raises:
        ValueError: too many; the message says how many there are.
    """
    rank = int((values_L > tolerance * values_L[0]).sum())
    if count > rank:
        raise ValueError(f"{what} {rank} directions only, not {count}; ask for at most {rank}")


def oriented(vectors_DL: Tensor) -> Tensor:
    """Each row with the sign that makes its largest entry positive."""
    largest_D1 = vectors_DL.gather(1, vectors_DL.abs().argmax(dim=1, keepdim=True))
    return vectors_DL * largest_D1.sign()


def home_of(device: torch.device) -> torch.device:
    """Where float64 sums are kept: on the device itself, or on the CPU where the device has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


class StreamedCovariance(nn.Module):
    """Covariance of two sets of variables, exact, from samples that come in batches and are not kept.

    Args:
        x_dim: X.
        y_dim: Y.

    >>> x = torch.randn(100, 3)
    >>> covariance = StreamedCovariance(3, 3)
    >>> for batch in x.split(30):
    ...     covariance.add(batch, batch)
    >>> torch.allclose(covariance.value(), torch.cov(x.double().T))
    True
    """

    count: Tensor
    origin_X: Tensor
    origin_Y: Tensor
    sum_X: Tensor
    sum_Y: Tensor
    products_XY: Tensor

    def __init__(self, x_dim: int, y_dim: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        for name, shape in (("X", (x_dim,)), ("Y", (y_dim,))):
            self.register_buffer(f"origin_{name}", torch.zeros(shape, dtype=torch.double))
            self.register_buffer(f"sum_{name}", torch.zeros(shape, dtype=torch.double))
        self.register_buffer("products_XY", torch.zeros(x_dim, y_dim, dtype=torch.double))

    @torch.no_grad()
    def add(self, x_NX: Tensor, y_NY: Tensor) -> None:
        """Take in a batch; passing the same tensor twice halves the work."""
        same = y_NY is x_NX
        x_NX, y_NY = x_NX.to(self.sum_X.device), y_NY.to(self.sum_Y.device)
        if int(self.count) == 0:
            # Sums of products lose digits where means are large beside deviations: measure from the first batch's mean.
            self.origin_X.copy_(x_NX.mean(dim=0))
            self.origin_Y.copy_(y_NY.mean(dim=0))
        x_NX = x_NX - self.origin_X  # float64, as the origin is
        y_NY = x_NX if same else y_NY - self.origin_Y
        self.count += len(x_NX)
        self.sum_X += x_NX.sum(dim=0)
        self.sum_Y += y_NY.sum(dim=0)
        if same and x_NX.device.type == "cpu":
            x = x_NX.numpy()
            self.products_XY += torch.from_numpy(x.T @ x)  # numpy multiplies a matrix with itself at half the price
        else:
            self.products_XY += x_NX.T @ y_NY

    def value(self) -> Tensor:
        """The covariance ``(X, Y)``, its denominator one less than the number of samples."""
        return (self.products_XY - torch.outer(self.sum_X, self.sum_Y) / self.count) / (self.count - 1)

    def forget(self) -> None:
        """Start anew, with no samples."""
        for buffer in self.buffers():
            buffer.zero_()


class PowerIteration(nn.Module):
    """Leading eigenvectors of a symmetric matrix that is known by its products with blocks of vectors only.

    Each step replaces the block by its product, rotated to the block's eigenvectors (Rayleigh–Ritz) and
    orthonormalised. Of eigenvalues λ, the k-th vector's error shrinks by λ[B]/λ[k] a step; a block of L columns is
    exact after one.

    Args:
        dim: L.
        size: B, columns of the block; a few more than the vectors wanted make it converge faster.
        rng: draws the first block.

    Attributes:
        block_LB: orthonormal columns, the best first.
        values_B: their eigenvalues as of the last step, descending.
        residual: how far the last block was from a fixed point: ‖M V − V Λ‖ / ‖M V‖.
    """

    block_LB: Tensor
    values_B: Tensor
    residual: Tensor

    def __init__(self, dim: int, size: int, rng: torch.Generator) -> None:
        super().__init__()
        start = torch.linalg.qr(torch.randn(dim, size, generator=rng, dtype=torch.double))[0]
        self.register_buffer("block_LB", start)
        self.register_buffer("values_B", torch.zeros(size, dtype=torch.double))
        self.register_buffer("residual", torch.ones((), dtype=torch.double))

    @torch.no_grad()
    def advance(self, product_LB: Tensor) -> None:
        """One step, given the matrix times :attr:`block_LB`."""
        product_LB = product_LB.to(self.block_LB)
        small_BB = self.block_LB.T @ product_LB
        values, rotation_BB = torch.linalg.eigh((small_BB + small_BB.T) / 2)
        values, rotation_BB = values.flip(0), rotation_BB.flip(1)
        product_LB = product_LB @ rotation_BB
        error = product_LB - self.block_LB @ rotation_BB * values
        self.values_B.copy_(values)
        self.residual.copy_(error.norm() / product_LB.norm().clamp_min(1e-300))
        self.block_LB.copy_(torch.linalg.qr(product_LB)[0])
