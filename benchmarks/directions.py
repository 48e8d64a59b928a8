"""GANSpace's streamed PCA against scikit-learn's IncrementalPCA, memory against the number of samples, SeFa's time.

    python benchmarks/directions.py [--samples 1000000] [--only pca|memory|sefa|deep|joint] [--threads 1]

PCA: W of a StyleGAN2 (512 dimensions, 8 mapping layers, random weights) is drawn batch by batch; both see the same
batches, of 2000 as in GANSpace's release, and only their own work is timed. Times are processor time, so that other
load on the machine counts little. Memory: the whole method runs in a process of its own, whose peak is what the system
says.
DeepSpectral: one product with the mean Gram matrix against the same from Jacobians made row by row.
Joint diagonalisation: Gram matrices of a generator's pixels, from one start, against pyRiemann's translation of the
authors' program (pip install pyriemann; left out where it is not installed).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA

from contrafact.core.run import Run
from contrafact.generators import StyleGAN2
from contrafact.generators.checkpoints import load_generator
from contrafact.methods import GANSpace, SeFa
from contrafact.methods._joint_frame import answering, gram_matrices
from contrafact.methods.deep_spectral import gram_product
from contrafact.nn.joint_diagonalisation import joint_diagonaliser
from contrafact.nn.responses import watch
from contrafact.nn.spectral import StreamedCovariance, leading_eigenvectors
from contrafact.nn.whitening import whitening

BATCH, COMPONENTS = 2000, 80


def style_generator(size: int = 64) -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(size).freeze()


@torch.no_grad()
def pca(samples: int) -> None:
    generator, rng = style_generator(), torch.Generator().manual_seed(0)
    ours = StreamedCovariance(512, 512)
    theirs = IncrementalPCA(COMPONENTS, batch_size=BATCH)
    seconds = {"sampling": 0.0, "ours": 0.0, "sklearn": 0.0}
    for _ in range(samples // BATCH):
        begin = time.process_time()
        w = generator.sample(BATCH, rng)
        sampled = time.process_time()
        ours.add(w, w)
        added = time.process_time()
        theirs.partial_fit(w.numpy())
        seconds["sampling"] += sampled - begin
        seconds["ours"] += added - sampled
        seconds["sklearn"] += time.process_time() - added
    begin = time.process_time()
    values, vectors = leading_eigenvectors(ours.value(), COMPONENTS, "W varies along")
    seconds["ours"] += time.process_time() - begin
    lost = 1 - np.linalg.svd(theirs.components_ @ vectors.numpy().T)[1].min()
    off = np.abs(theirs.explained_variance_ / values.numpy() - 1).max()
    spent = ", ".join(f"{who} {took:.1f} s" for who, took in seconds.items())
    print(f"PCA of {samples} × 512, {COMPONENTS} components: {spent}")
    print(f"  PCA alone {seconds['sklearn'] / seconds['ours']:.1f} times as fast; ", end="")
    both = [seconds["sampling"] + seconds[who] for who in ("sklearn", "ours")]
    print(f"with the sampling that both need {both[0] / both[1]:.1f} times")
    print(f"  IncrementalPCA is an approximation: variances off by up to {off:.1e}, subspace by {lost:.1e}")


def memory(samples: int) -> None:
    for count in (samples // 20, samples):
        code = f"from benchmarks.directions import fit_ganspace; fit_ganspace({count})"
        print(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip())


def fit_ganspace(samples: int) -> None:
    generator = style_generator()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        method = GANSpace(num_directions=COMPONENTS, num_samples=samples)
        method.fit(generator, Run(f"{folder}/run", device="cpu", progress=False))
        seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"GANSpace, {samples} samples, all of it: {seconds:.1f} s, peak {peak:.0f} MiB ({before:.0f} before it)")


def sefa() -> None:
    for size in (256, 1024):
        generator = style_generator(size)
        with tempfile.TemporaryDirectory() as folder:
            method, run = SeFa(num_directions=COMPONENTS), Run(f"{folder}/run", device="cpu", progress=False)
            begin = time.process_time()
            method.train(generator, run)
            middle = time.process_time()
            method.fit(generator, run)
            end = time.process_time()
        print(
            f"SeFa, config-f at {size} pixels, {COMPONENTS} directions: {middle - begin:.2f} s; with its run folder, "
            f"which holds the generator too, {end - middle:.2f} s"
        )


def deep() -> None:
    generator = load_generator("shapes3d")
    latents = generator.sample(8, torch.Generator().manual_seed(0))
    block = torch.eye(generator.latent_dim)

    def features(latent: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        return generator.features(latent + shift, "blocks.0").flatten(1)

    def row_by_row() -> torch.Tensor:
        total = torch.zeros(generator.latent_dim, generator.latent_dim)
        for latent in latents:
            jacobian = torch.autograd.functional.jacobian(lambda s, z=latent: features(z[None], s)[0], latent[None] * 0)
            total += jacobian[:, 0].T @ jacobian[:, 0]
        return total

    begin = time.process_time()
    expected = row_by_row()
    middle = time.process_time()
    found = gram_product(features, latents, block)
    end = time.process_time()
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.max()))
    print(
        f"DeepSpectral, Gram matrix at 8 latents of shapes3d: row by row {middle - begin:.2f} s, products "
        f"{end - middle:.3f} s"
    )


def joint() -> None:
    try:
        from pyriemann.geometry.ajd import rjd
    except ImportError:
        print("joint diagonalisation: pyriemann is not installed, so there is nothing to compare with")
        return
    for name in ("shapes3d", "fashion-mnist"):
        generator, rng = load_generator(name), torch.Generator().manual_seed(0)
        white = whitening(generator.sample(20_000, rng))
        watched, bases = [watch("pixels", generator.image_shape)], generator.sample(256, rng)
        if len(white.axes_RL) > 32:
            white = white.turned(answering(generator, white, watched, bases, 32, None, rng))
        matrices = gram_matrices(generator, white, watched, bases, 0.3)[0].matrices("per_response").numpy()
        begin = time.process_time()
        theirs = rjd(matrices, eps=1e-8, n_iter_max=1000)[1]
        middle = time.process_time()
        ours = joint_diagonaliser(matrices, np.random.default_rng(0), restarts=1)
        end = time.process_time()
        share = np.square(np.einsum("krr->kr", theirs)).sum() / np.square(matrices).sum()
        print(
            f"joint diagonalisation of {matrices.shape}, {name}: pyRiemann {middle - begin:.2f} s, ours "
            f"{end - middle:.3f} s, {(middle - begin) / (end - middle):.0f} times as fast; shares on the diagonal "
            f"{share:.8f} and {ours.share:.8f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("pca", "memory", "sefa", "deep", "joint"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} thread(s)")
    parts = {
        "sefa": sefa,
        "deep": deep,
        "joint": joint,
        "pca": lambda: pca(options.samples),
        "memory": lambda: memory(options.samples),
    }
    for name, part in parts.items():
        if options.only in (None, name):
            part()


if __name__ == "__main__":
    main()
