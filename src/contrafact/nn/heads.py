"""Projection heads: the small networks between codes r and the features z that a contrastive loss sees.

Shape suffixes: N images, R code dimensions, Z feature dimensions.
"""

from __future__ import annotations

from torch import Tensor, nn

from contrafact.core.dataset import check_count


class ProjectionHead(nn.Module):
    """A multilayer perceptron from codes ``(N, R)`` to features ``(N, Z)``.

    Args:
        inputs: R.
        outputs: Z.
        layers: linear layers: 1 (MoCo's first version), 2 (SimCLR, MoCo's second), or more.
        hidden: width between them; None for R.
        norm: batch normalisation after each layer but the last.

    Raises:
        ValueError: a size below 1.
    """

    def __init__(
        self, inputs: int, outputs: int, layers: int = 2, hidden: int | None = None, norm: bool = False
    ) -> None:
        super().__init__()
        check_count("inputs", inputs)
        check_count("outputs", outputs)
        width = inputs if hidden is None else check_count("hidden", hidden)
        parts: list[nn.Module] = []
        for _ in range(check_count("layers", layers) - 1):
            parts += [nn.Linear(inputs, width, bias=not norm), *([nn.BatchNorm1d(width)] if norm else []), nn.ReLU()]
            inputs = width
        self.layers = nn.Sequential(*parts, nn.Linear(inputs, outputs))

    def forward(self, codes: Tensor) -> Tensor:
        """Features ``(N, Z)``, not normalised."""
        features: Tensor = self.layers(codes)
        return features
