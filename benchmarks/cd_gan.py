"""Speed of CD-GAN's step at the paper's MNIST sizes against a plain transcription of its Algorithm 1; its contrast.

    OMP_NUM_THREADS=1 python benchmarks/cd_gan.py

Processor time, so that a busy machine does not count.

The plain step: the same networks in torch's default memory layout, real and generated images through the critic one
after the other, the contrast by masks over all pairs, and every ``backward`` computing all gradients it reaches, the
fixed networks' included. The careful one detaches generated images where the generator is fixed. All take images from
memory.
"""

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from contrafact.core.dataset import ImageDataset
from contrafact.core.run import Run
from contrafact.losses.contrastive import supervised_contrastive_loss
from contrafact.methods._gan import Game
from contrafact.methods.cd_gan import CDGAN
from contrafact.nn.critics import ClassEncoder

MNIST = CDGAN(**CDGAN.presets["mnist"])
REPEATS = 3


class Noise(ImageDataset):
    """Images of MNIST's size, for timing only."""

    name, image_shape, source = "noise", (1, 28, 28), "made by the benchmark"
    class_names = tuple("0123456789")

    def __init__(self) -> None:
        self.pixels = torch.rand(4096, 1, 28, 28)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices):
        return self.pixels[torch.as_tensor(np.asarray(indices))]


def seconds(step: Callable[[], object]) -> float:
    """Median processor time of a call."""
    step()
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        step()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def plain_step(data: torch.Tensor, careful: bool) -> Callable[[], None]:
    """Algorithm 1 as a reader would write it down first, or second."""
    method = MNIST
    game = Game(method, Noise(), Run(Path(tempfile.mkdtemp()) / "run", device="cpu", precision="float32"), 0, 10)
    encoder = ClassEncoder((1, 28, 28), method.class_dim, method.noise_dim)
    generator, critic = game.generator, game.critic
    for module in (generator, critic, encoder):
        module.to(memory_format=torch.contiguous_format)
    adams = [torch.optim.Adam(m.parameters(), 1e-4, (0.5, 0.9)) for m in (critic, generator, encoder)]

    def draw(n):
        noise, classes = torch.randn(n, method.noise_dim), torch.randint(10, (n,))
        return torch.cat([noise, F.one_hot(classes, 10).float()], dim=1), noise, classes

    def fixed(images):
        return images.detach() if careful else images

    def contrast(f, classes):
        similarity = f @ f.T / method.temperature
        same = (classes[:, None] == classes[None]).float()
        others = 1 - torch.eye(len(f))
        odds = torch.exp(similarity - similarity.max(dim=1, keepdim=True).values) * others
        return -torch.log((odds * same).sum(dim=1) / odds.sum(dim=1)).mean()

    def step():
        real = data[torch.randint(len(data), (64,))]
        fake = fixed(generator(draw(64)[0]))
        mix = torch.rand(64, 1, 1, 1)
        between = (mix * real + (1 - mix) * fake).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
        adams[0].zero_grad()
        loss.backward()
        adams[0].step()

        latent, noise, classes = draw(64)
        fake = generator(latent)
        f, e = encoder.heads(fake)
        loss = -critic(fake).mean() + 50 * contrast(f, classes) + 5e-4 * F.mse_loss(e, noise)
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()

        latent, noise, classes = draw(512)
        f, e = encoder.heads(fixed(generator(latent)))
        loss = 50 * contrast(f, classes) + 5e-4 * F.mse_loss(e, noise)
        adams[2].zero_grad()
        loss.backward()
        adams[2].step()

    return step


def our_seconds(precision: str) -> float:
    """Time of a step of the method itself: the difference of a long and a short run, so that set-up does not count."""
    import dataclasses

    def fit(steps: int) -> float:
        run = Run(Path(tempfile.mkdtemp()) / "run", device="cpu", precision=precision, progress=False)
        begin = time.process_time()
        dataclasses.replace(MNIST, steps=steps).fit(Noise(), run)
        return time.process_time() - begin

    fit(1)
    short, long = (min(fit(steps) for _ in range(2)) for steps in (1, 1 + REPEATS))
    return (long - short) / REPEATS


def contrast_seconds(n: int) -> float:
    """Forward and backward of the contrast of ``n`` images of 50 dimensions."""
    f, labels = F.normalize(torch.randn(n, 50), dim=1).requires_grad_(), torch.arange(n) % 10
    return seconds(lambda: supervised_contrastive_loss(f, labels, 0.07, "inside").backward())


def main() -> None:
    """Measure and print."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    auto = Run(tempfile.mkdtemp(), device="cpu").precision
    data = torch.rand(4096, 1, 28, 28)
    plain, careful, ours = seconds(plain_step(data, False)), seconds(plain_step(data, True)), our_seconds("float32")
    print(f"threads {torch.get_num_threads()}, precision chosen by itself {auto}")
    print(f"plain step {plain:.3f} s, careful {careful:.3f} s, ours in float32 {ours:.3f} s")
    print(f"ours is {plain / ours:.2f} times as fast as the plain step, {careful / ours:.2f} as the careful one")
    if auto != "float32":
        mixed = our_seconds(auto)
        print(f"ours in {auto} {mixed:.3f} s: {plain / mixed:.2f} times as fast")
    large = contrast_seconds(1200)
    print(f"contrast of 1200 images {large * 1e3:.0f} ms, of 512 {contrast_seconds(512) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
