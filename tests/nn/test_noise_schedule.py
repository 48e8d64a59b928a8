"""Noise added and taken away, against the papers' equations written out number by number."""

import math

import pytest
import torch

from contrafact.nn.noise_schedule import NoiseSchedule

TIMES, FIRST, LAST = 12, 0.01, 0.3


def betas_by_hand(rise):
    """Ho et al. 2020 rise linearly; latent diffusion's are the squares of roots that do."""
    for t in range(TIMES):
        share = t / (TIMES - 1)
        if rise == "linear":
            yield FIRST + share * (LAST - FIRST)
        else:
            yield (math.sqrt(FIRST) + share * (math.sqrt(LAST) - math.sqrt(FIRST))) ** 2


@pytest.mark.parametrize("rise", ["linear", "sqrt_linear"])
def test_what_is_left_is_what_a_chain_of_single_steps_leaves(rise):
    """Eq. 2 of Ho et al.: x_t has mean √(1 − β_t)·x_{t−1} and variance β_t; over a chain, mean and variance add up."""
    schedule = NoiseSchedule(TIMES, FIRST, LAST, rise)
    mean, variance = 1.0, 0.0
    for t, beta in enumerate(betas_by_hand(rise)):
        mean, variance = math.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        at = torch.tensor([t])
        one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
        assert schedule.noised(one, zero, at).item() == pytest.approx(mean, rel=1e-5)
        assert schedule.noised(zero, one, at).item() ** 2 == pytest.approx(variance, rel=1e-4)


def ddim_by_hand(alpha_bar, visited, x, epsilon_of):
    """Eq. 12 of Song et al. 2021 with σ = 0, for one number, in Python's floats."""
    for place, t in enumerate(visited):
        epsilon = epsilon_of(x, t)
        predicted = (x - math.sqrt(1 - alpha_bar[t]) * epsilon) / math.sqrt(alpha_bar[t])
        if place + 1 == len(visited):
            return predicted
        before = alpha_bar[visited[place + 1]]
        x = math.sqrt(before) * predicted + math.sqrt(1 - before) * epsilon
    raise AssertionError


@pytest.mark.parametrize("prediction", ["epsilon", "image"])
@pytest.mark.parametrize("steps", [1, 3, 12])
def test_the_solver_is_the_papers(prediction, steps):
    schedule, rng = NoiseSchedule(TIMES, FIRST, LAST), torch.Generator().manual_seed(0)
    noise = torch.randn(2, 1, 2, 3, generator=rng)

    def epsilon_of(x, t):
        return 0.3 * x + 0.01 * t - 0.2

    def denoise(x, times):
        epsilon = 0.3 * x + 0.01 * times[:, None, None, None] - 0.2
        return epsilon if prediction == "epsilon" else schedule.both(epsilon, x, times, "epsilon")[0]

    made = schedule.solve(denoise, noise, steps, prediction)
    alpha_bar, left = [], 1.0
    for beta in betas_by_hand("linear"):
        left *= 1 - beta
        alpha_bar.append(left)
    visited = [TIMES - 1 - k * TIMES // steps for k in range(steps)]
    expected = [ddim_by_hand(alpha_bar, visited, float(x), epsilon_of) for x in noise.flatten()]
    torch.testing.assert_close(made.flatten(), torch.tensor(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 7, 8, 12])
def test_a_solver_visits_so_many_times_and_begins_with_the_last(steps):
    visited = NoiseSchedule(TIMES, FIRST, LAST).solver_times(steps).tolist()
    assert len(visited) == steps == len(set(visited))
    assert visited[0] == TIMES - 1
    assert visited == sorted(visited, reverse=True)
    assert visited[-1] >= 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseSchedule(10, 0.0, 0.5), r"β must lie between 0 and 1, got 0 to 0\.5"),
        (lambda: NoiseSchedule(10, 0.1, 0.2, "cosine"), "unknown rise of β 'cosine'"),
        (lambda: NoiseSchedule(10, 0.1, 0.2).solver_times(11), "at most the schedule's 10 steps, got 11"),
        (
            lambda: NoiseSchedule(10, 0.1, 0.2).both(*[torch.zeros(1, 1, 1, 1)] * 2, torch.zeros(1).long(), "v"),
            "unknown prediction 'v'",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
