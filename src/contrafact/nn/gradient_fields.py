"""DisDiff's decoder of gradient fields: what each factor's vector changes in what a frozen denoiser says.

Yang, Wang, Lu & Zheng, "DisDiff: Unsupervised Disentanglement of Diffusion Probabilistic Models", NeurIPS 2023,
https://arxiv.org/abs/2301.13721 (G_ψ of Section 4.1), in the shape of the authors' program: a second bottleneck and
way up beside the denoiser's, on the features of its way down; all factors share them, and each is told which it is by a
row of an orthogonal matrix that is learned.

Shape suffixes: N images, K factors, D numbers of a factor's vector, E features that blocks are told, C, H, W sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count
from contrafact.nn.token_unet import TokenUNet


class GradientFields(nn.Module):
    """Features of a denoiser's way down, its time and a vector for each factor to a field for each factor.

    Args:
        image_shape: ``(C, H, W)`` of what is denoised.
        num_factors: K, at most half of what blocks are told, 2 · ``channels``.
        factor_dim: D.
        channels: of the U-Net's first level; it, multipliers, blocks, heads and transformer are the denoiser's.
        multipliers: channels of each level, in multiples of the first one's.
        blocks: of each level.
        heads: of the attention, at most.
        transformer: blocks attend to themselves and have two linear layers.

    Raises:
        ValueError: more factors than there are orthogonal rows.

    >>> unet = TokenUNet((3, 16, 16), 0, 0, 16, (1, 2), conditioning="film")
    >>> fields = GradientFields((3, 16, 16), 4, 2, 16, (1, 2))
    >>> noised, at = torch.zeros(5, 3, 16, 16), unet.at_time(torch.zeros(5))
    >>> fields(unet.descend(noised, at), at, torch.zeros(5, 4, 2)).shape
    torch.Size([5, 4, 3, 16, 16])
    """

    center: Tensor
    axes: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_factors: int,
        factor_dim: int,
        channels: int = 64,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        blocks: int = 1,
        heads: int = 8,
        transformer: bool = False,
    ) -> None:
        super().__init__()
        told, rows = 4 * channels, 2 * channels
        if check_count("num_factors", num_factors) > rows:
            raise ValueError(
                f"a U-Net of {channels} channels tells {rows} factors apart, got {num_factors}; give fewer "
                "num_factors, or a larger width"
            )
        self.num_factors, self.factor_dim = num_factors, check_count("factor_dim", factor_dim)
        self.vector = nn.Linear(factor_dim, told)
        self.turn = nn.Parameter(torch.randn(rows, rows))
        self.factor = nn.Linear(rows, told)
        unet = TokenUNet(image_shape, 0, 0, channels, multipliers, blocks, heads, "film", transformer)
        self.ascent = unet.keep_ascent()
        self.register_buffer("center", torch.zeros(num_factors, factor_dim))
        self.register_buffer("axes", torch.eye(factor_dim).repeat(num_factors, 1, 1))

    def rows(self) -> Tensor:
        """Orthogonal unit rows ``(K, rows)``, one for each factor: the exponential of a skew matrix.

        >>> rows = GradientFields((3, 16, 16), 4, 2, 16, (1, 2)).rows()
        >>> torch.allclose(rows @ rows.T, torch.eye(4), atol=1e-4)
        True
        """
        with torch.autocast(self.turn.device.type, enabled=False):
            turned: Tensor = torch.linalg.matrix_exp(self.turn - self.turn.T)
        return turned[: self.num_factors]

    def told(self, vectors_NKD: Tensor) -> Tensor:
        """What blocks are told of vectors: ``(N, K, E)``."""
        own_NKD = self.center + (vectors_NKD[:, :, None] @ self.axes)[:, :, 0]
        told: Tensor = self.vector(own_NKD)
        return told

    def forward(self, skips: Sequence[Tensor], at_NE: Tensor, vectors_NKD: Tensor) -> Tensor:
        """Fields ``(N, K, C, H, W)``.

        Args:
            skips: features of the denoiser's way down (:meth:`~contrafact.nn.token_unet.TokenUNet.descend`).
            at_NE: what its blocks are told of the time, before the last SiLU.
            vectors_NKD: one for each factor.
        """
        told_NKE = at_NE[:, None] + self.factor(self.rows()) + self.told(vectors_NKD)
        many = [skip.repeat_interleave(self.num_factors, dim=0) for skip in skips]
        said: Tensor = self.ascent.ascend(many, F.silu(told_NKE.flatten(0, 1)))
        fields: Tensor = said.unflatten(0, (-1, self.num_factors))
        return fields

    @torch.no_grad()
    def begin_as(self, unet: TokenUNet) -> None:
        """Take the bottleneck and the way up of a denoiser, but for its last layer, which stays silent.

        >>> unet = TokenUNet((3, 8, 8), 0, 0, 8, (1,), conditioning="film")
        >>> fields = GradientFields((3, 8, 8), 2, 1, 8, (1,))
        >>> fields.begin_as(unet)
        >>> torch.equal(fields.ascent.middle[0].residual.first.weight, unet.middle[0].residual.first.weight)
        True
        """
        own, silent = self.ascent.state_dict(), ("end.weight", "end.bias")
        taken = {name: value for name, value in unet.state_dict().items() if name in own and name not in silent}
        self.ascent.load_state_dict({**own, **taken})

    @torch.no_grad()
    def recoordinate(self, center_KD: Tensor, axes_KDD: Tensor) -> None:
        """Read vectors from now on in other coordinates: what was ``vector`` is now ``(vector − center) · axes``.

        >>> fields, skip = GradientFields((1, 4, 4), 2, 3, 8, (1,)), torch.randn(1, 8, 4, 4)
        >>> _ = nn.init.normal_(fields.ascent.end.weight)
        >>> at, vectors, center, axes = torch.zeros(1, 32), torch.randn(1, 2, 3), torch.randn(2, 3), torch.eye(3) * 2
        >>> before = fields([skip], at, vectors)
        >>> fields.recoordinate(center, axes.repeat(2, 1, 1))
        >>> torch.allclose(fields([skip], at, (vectors - center) * 2), before, atol=1e-5)
        True
        """
        back_KDD = torch.linalg.inv(axes_KDD)
        self.center += (center_KD[:, None] @ self.axes)[:, 0]
        self.axes.copy_(back_KDD @ self.axes)
