"""Joint diagonalisation: directions that different parts of the image answer to, and an encoder that reads them.

Ours, not published. In whitened coordinates of the edit space every response of the image (a pixel, by default) has a
Gram matrix of its derivatives, averaged over many latents. The directions are the orthonormal frame in which all those
matrices are as diagonal as they can be at once, so that each response answers to few of them: joint approximate
diagonalisation, Cardoso & Souloumiac, SIAM J. Matrix Anal. Appl. 17(1), 1996. Two directions that the same responses
answer to alike, such as the two that a hue's circle needs, become one slider. Nothing sees a label.

Related: DeepSpectral (Khrulkov et al. 2021) diagonalises one mean Gram matrix, which leaves directions of equal
strength open; the orthogonal Jacobian penalty (Wei et al. 2021) trains a generator towards a diagonal one; Rolínek,
Zietlow & Martius (2019) show that a VAE's is locally diagonal already. The regressed encoder is Khrulkov et al.'s.

Shape suffixes: N images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F

from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Count, Rate, Size, Steps, Width
from contrafact.core.run import Run
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.methods._joint_frame import Frame, joint_frame
from contrafact.nn.grouped_encoder import GroupedEncoder

# Images a step's encoder learns from are kept in half precision, in at most this many bytes.
_POOL_BYTES = 1 << 30


@dataclass(frozen=True)
class JointDiagonal(Method):
    """The frame that jointly diagonalises the responses' Gram matrices, and an encoder regressed to its coordinates.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> small = {"num_latents": 500, "num_bases": 8, "encoder_images": 64, "steps": 1}
    >>> run = cf.methods.JointDiagonal.of(**small).fit(scene, "runs/joint-diagonal")
    >>> run.encoder(run.generator(scene.sample(4, seed=0))).shape[1] == run.directions.num_directions
    True
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "directions", "generator")
    without: ClassVar[Mapping[str, str]] = {
        "encoder": "its encoder gives angles for circles, so its last layer is its own; disco trains one of yours",
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {},
        "tiny": {"num_latents": 128, "encoder_images": 32},
    }

    num_directions: Size = 16
    """Sliders D to keep at most, those that change the image most."""
    encoder_images: Count = 6000
    """Generated images that the encoder learns from, fewer where they would not fit into a gigabyte."""
    encoder_width: Width = 1.0
    """Multiplies the encoder's channel counts."""
    batch_size: Size = 128
    """Images in a step of the encoder."""
    steps: Steps = 900
    """Steps of the encoder."""
    learning_rate: Rate = 1e-3
    """Adam's learning rate, falling to zero along a cosine."""
    frame_search: Frame = Frame()  # noqa: RUF009 - frozen
    """How the frame is found."""

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse layers that the generator does not have, fewer latents than whiten its space, and part of a latent."""
        if source.edit_columns is not None:
            raise ValueError(
                f"joint_diagonal whitens whole latents, and this {type(source).__name__} is edited in a part of them "
                f"({source.space}); take ganspace, deep_spectral or disco"
            )
        source.layer_range(self.frame_search.first_layer, self.frame_search.last_layer)
        if self.frame_search.num_bases < 2:
            raise ValueError("num_bases must be at least 2: a frame found at half of them is tried at the others")
        if self.frame_search.num_latents < 2 * source.latent_dim:
            raise ValueError(
                f"num_latents is {self.frame_search.num_latents}, too few to whiten {source.latent_dim} dimensions; "
                f"ask for at least {2 * source.latent_dim}"
            )

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Find the frame, then regress an encoder to its coordinates."""
        directions = joint_frame(source, run, self.frame_search, self.num_directions)
        return Artefacts(encoder=self._encoder(source, directions, run), directions=directions, generator=source)

    def _encoder(self, source: Generator, directions: WhitenedDirections, run: Run) -> GroupedEncoder:
        """An encoder of the coordinates, learned from a pool of generated images."""
        channels, height, width = source.image_shape
        count = max(1, min(self.encoder_images, _POOL_BYTES // (2 * channels * height * width)))
        latents, images = source.sample(count, run.rng("pool")), []
        with torch.no_grad(), run.autocast(), run.progress("drawing images", count) as bar:
            for batch in latents.split(self.frame_search.batch(source)):
                images.append(source(batch).clamp(0, 1).half())
                bar.advance(len(batch))
        pool, targets = torch.cat(images), directions.coordinates(latents)
        with run.seeded_init("encoder"):
            encoder = GroupedEncoder(source.image_shape, directions.groups, self.encoder_width).to(run.device)
        optimizer = torch.optim.Adam(encoder.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        rng = run.rng("batches")
        state = {"encoder": encoder, "optimizer": optimizer, "schedule": schedule, "rng": rng}
        for _ in run.steps(self.steps, state, "encoder"):
            chosen = torch.randint(count, (self.batch_size,), generator=rng).to(run.device)
            with run.autocast():
                found = encoder.coordinates(pool[chosen].float())
            loss = F.smooth_l1_loss(found.float(), targets[chosen])
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, encoder.parameters())
            optimizer.step()
            schedule.step()
            run.log(loss=loss)
        return encoder
