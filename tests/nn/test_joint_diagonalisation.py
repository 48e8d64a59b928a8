"""The diagonaliser against matrices whose frame is known, a search over all frames, and other optimisers."""

import numpy as np
import pytest
import torch

from contrafact.nn.joint_diagonalisation import joint_diagonaliser

ANGLES = np.linspace(0, np.pi, 31)


def frame_of(seed: int, side: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((side, side)))[0]


def criterion(matrices: np.ndarray, frame: np.ndarray) -> float:
    """Sum over matrices and directions of (qᵀ M q)², one after the other."""
    return sum(float(q @ matrix @ q) ** 2 for matrix in matrices for q in frame)


def symmetric(seed: int, count: int, side: int) -> np.ndarray:
    roots = np.random.default_rng(seed).standard_normal((count, side, side))
    return roots @ roots.transpose(0, 2, 1)


@pytest.mark.parametrize(("count", "side"), [(2, 2), (5, 6), (40, 12)])
def test_matrices_with_a_common_frame_are_diagonalised_exactly(count, side):
    truth = frame_of(side, side)
    values = np.random.default_rng(1).uniform(0, 1, (count, side))
    found = joint_diagonaliser(np.einsum("kd,dr,ds->krs", values, truth, truth), np.random.default_rng(0))
    cosines = np.abs(found.frame_RR @ truth.T)
    np.testing.assert_allclose(np.sort(cosines.max(axis=1)), 1.0, atol=1e-7)
    assert sorted(cosines.argmax(axis=1)) == list(range(side))
    assert found.share == pytest.approx(1.0, abs=1e-10)


def test_of_one_matrix_the_frame_is_its_eigenvectors():
    matrix = symmetric(3, 1, 5)
    found = joint_diagonaliser(matrix, np.random.default_rng(0), restarts=2)
    vectors = np.linalg.eigh(matrix[0])[1].T
    np.testing.assert_allclose(np.abs(found.frame_RR @ vectors.T).max(axis=1), 1.0, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_no_frame_of_a_fine_grid_is_better(seed):
    """All rotations of space by three Euler angles; matrices that no frame diagonalises."""
    matrices = symmetric(seed, 7, 3)
    found = joint_diagonaliser(matrices, np.random.default_rng(seed), restarts=8)
    cos, sin, zero = np.cos(ANGLES), np.sin(ANGLES), np.zeros_like(ANGLES)
    about_z = np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1]).T.reshape(-1, 3, 3)
    about_x = np.stack([zero + 1, zero, zero, zero, cos, -sin, zero, sin, cos]).T.reshape(-1, 3, 3)
    frames = np.einsum("aij,bjk,ckl->abcil", about_z, about_x, about_z).reshape(-1, 3, 3)
    entries = np.einsum("fdr,krs,fds->fkd", frames, matrices, frames, optimize=True)
    best = float(np.square(entries).sum(axis=(1, 2)).max())
    reached = criterion(matrices, found.frame_RR)
    assert best <= reached <= best * 1.01  # the grid is 6 degrees wide
    assert reached == pytest.approx(found.share * np.square(matrices).sum())


def test_gradient_ascent_over_rotations_goes_no_higher():
    """Adam on a skew matrix, from as many starts."""
    matrices = symmetric(5, 9, 3)
    found = joint_diagonaliser(matrices, np.random.default_rng(0))
    stack, rng = torch.from_numpy(matrices), torch.Generator().manual_seed(0)
    reached = []
    for _ in range(4):
        start = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=torch.double))[0]
        skew = torch.zeros(3, 3, dtype=torch.double, requires_grad=True)
        adam = torch.optim.Adam([skew], 0.05)
        for _ in range(60):
            frame = torch.linalg.matrix_exp(skew - skew.T) @ start
            value = torch.einsum("dr,krs,ds->kd", frame, stack, frame).square().sum()
            adam.zero_grad()
            (-value).backward()
            adam.step()
        reached.append(float(value.detach()))
    assert max(reached) <= criterion(matrices, found.frame_RR) * (1 + 1e-9)
    assert max(reached) >= criterion(matrices, found.frame_RR) * 0.99


def one_plane_after_the_other(matrices: np.ndarray, sweeps: int = 60) -> np.ndarray:
    """Cardoso & Souloumiac 1996, Section 2, from the identity: h(A) = (a_ii - a_jj, a_ij + a_ji), the leading
    eigenvector (x, y) of Σ h hᵀ, then c = √((x + 1) / 2), s = y / (2 c).
    """
    turned, frame = matrices.copy(), np.eye(matrices.shape[1])
    for _ in range(sweeps):
        for i in range(len(frame)):
            for j in range(i + 1, len(frame)):
                h = np.stack([turned[:, i, i] - turned[:, j, j], turned[:, i, j] + turned[:, j, i]])
                x, y = np.linalg.eigh(h @ h.T)[1][:, -1]
                x, y = (x, y) if x >= 0 else (-x, -y)
                c = np.sqrt((x + 1) / 2)
                rotation = np.eye(len(frame))
                rotation[[i, i, j, j], [i, j, i, j]] = c, y / (2 * c), -y / (2 * c), c
                turned, frame = rotation @ turned @ rotation.T, rotation @ frame
    return frame


@pytest.mark.parametrize(("count", "side"), [(4, 6), (60, 8)])
def test_turning_planes_one_after_the_other_ends_at_the_same_frame(count, side):
    """Of matrices that nearly share a frame, so that there is one optimum; more of them than entries, and fewer."""
    truth, rng = frame_of(2, side), np.random.default_rng(3)
    matrices = np.einsum("kd,dr,ds->krs", rng.uniform(0, 1, (count, side)), truth, truth)
    matrices += 0.03 * (noise := rng.standard_normal((count, side, side))) + 0.03 * noise.transpose(0, 2, 1)
    found, expected = joint_diagonaliser(matrices, rng).frame_RR, one_plane_after_the_other(matrices)
    cosines = np.abs(found @ expected.T)
    np.testing.assert_allclose(cosines.max(axis=1), 1.0, atol=1e-9)
    assert sorted(cosines.argmax(axis=1)) == list(range(side))


@pytest.mark.parametrize(
    "matrices",
    [
        np.einsum("ki,kj->kij", *2 * [np.array([[1.0, 1.0], [1.0, -1.0]])]),
        np.stack([np.ones((4, 4)) - np.eye(4), np.eye(4) - np.ones((4, 4))]),
        np.stack([np.diag([1.0, 1.0, 1.0], 1) + np.diag([1.0, 1.0, 1.0], -1)] * 2)
        * np.array([1.0, -1.0])[:, None, None],
        np.random.default_rng(0).standard_normal((6, 5, 5)),
        np.random.default_rng(0).standard_normal((40, 5, 5)),
    ],
)
@pytest.mark.parametrize("restarts", [1, 6])
def test_starts_between_two_optima_and_matrices_that_are_not_symmetric(matrices, restarts):
    """Where an eighth of a circle either way is best, the frame stays orthonormal, and the start is left."""
    found = joint_diagonaliser(matrices, np.random.default_rng(0), restarts)
    np.testing.assert_allclose(found.frame_RR @ found.frame_RR.T, np.eye(len(found.frame_RR)), atol=1e-12)
    parts = (matrices + matrices.transpose(0, 2, 1)) / 2
    assert found.share == pytest.approx(criterion(parts, found.frame_RR) / np.square(parts).sum(), abs=1e-12)
    assert found.share >= criterion(parts, np.eye(len(found.frame_RR))) / np.square(parts).sum()
    if len(matrices) == 2:  # all of these share a frame
        assert found.share == pytest.approx(1.0, abs=1e-9)


def test_the_frame_is_orthonormal_and_repeatable():
    matrices = symmetric(7, 5, 6)
    one, two = (joint_diagonaliser(matrices, np.random.default_rng(4)).frame_RR for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one @ one.T, np.eye(6), atol=1e-12)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.ones((3, 2)), r"symmetric matrices of shape \(K, R, R\), got \(3, 2\)"),
        (np.ones((0, 2, 2)), r"got \(0, 2, 2\)"),
        (np.zeros((3, 2, 2)), "not all zero"),
        (np.full((3, 2, 2), np.nan), "finite"),
    ],
)
def test_bad_input(matrices, message):
    with pytest.raises(ValueError, match=message):
        joint_diagonaliser(matrices, np.random.default_rng(0))
