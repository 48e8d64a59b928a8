"""A classifier of one hidden layer, trained as scikit-learn's ``MLPClassifier`` trains it, in compiled code.

Rectified units, Adam (Kingma & Ba 2015), an L2 penalty of 1e-4, weights drawn as Glorot & Bengio 2010 say, rows in a
new order every epoch; it stops early as the original does. The same random numbers make the same network, up to
rounding: what is saved is the interpreter's time, which for such small networks is most of it.

Shape suffixes: N points, M test points, J codes, H hidden units, C outputs (one for two values, else one for each).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import FloatArray, IntArray
from contrafact.metrics._compile import compiled

PENALTY, DECAY_1, DECAY_2, TINY = 1e-4, 0.9, 0.999, 1e-8
TOLERANCE, PATIENCE = 1e-4, 10  # epochs without so much less loss, after which training stops
ROWS_AT_ONCE = 8192
LARGE_BATCH, BLOCK = 512, 512  # rows of a batch from which on matrix products pay, and rows of one product

Array = npt.NDArray[Any]


class Network(NamedTuple):
    """Weights.

    Attributes:
        first_JH: of the hidden layer.
        first_H: its offsets.
        last_CH: of the outputs.
        last_C: their offsets.
    """

    first_JH: FloatArray
    first_H: FloatArray
    last_CH: FloatArray
    last_C: FloatArray


@compiled
def _adam(weights: Array, gradient: Array, mean: Array, square: Array, step: float) -> None:
    for i in range(weights.size):
        mean[i] = DECAY_1 * mean[i] + (1.0 - DECAY_1) * gradient[i]
        square[i] = DECAY_2 * square[i] + (1.0 - DECAY_2) * gradient[i] * gradient[i]
        weights[i] -= step * mean[i] / (math.sqrt(square[i]) + TINY)


@compiled
def _outputs(logits_C: Array, label: int) -> float:
    """Logits turned into predictions less targets; the loss of the point."""
    if len(logits_C) == 1:
        probability = 1.0 / (1.0 + math.exp(-logits_C[0]))
        hit = probability if label == 1 else 1.0 - probability
        logits_C[0] = probability - label
    else:
        top = logits_C.max()
        total = 0.0
        for c in range(len(logits_C)):
            logits_C[c] = math.exp(logits_C[c] - top)
            total += logits_C[c]
        for c in range(len(logits_C)):
            logits_C[c] /= total
        hit = logits_C[label]
        logits_C[label] -= 1.0
    return -math.log(max(hit, 1e-300))


@compiled
def _epoch(
    codes_NJ: Array,
    labels_N: Array,
    order_N: Array,
    batch: int,
    rate: float,
    done: int,
    first_JH: Array,
    first_H: Array,
    last_CH: Array,
    last_C: Array,
    moments: Any,
) -> float:
    """One pass over the rows; weights and moments change in place. Gives the mean loss.

    Every inner loop runs over the hidden units, whose values lie side by side.
    """
    num_codes, num_hidden = first_JH.shape
    num_outputs = len(last_C)
    hidden_H, back_H, delta_C = np.empty(num_hidden), np.empty(num_hidden), np.empty(num_outputs)
    to_first_JH, to_first_H = np.empty_like(first_JH), np.empty_like(first_H)
    to_last_CH, to_last_C = np.empty_like(last_CH), np.empty_like(last_C)
    total = 0.0
    for start in range(0, len(order_N), batch):
        stop = min(start + batch, len(order_N))
        size = stop - start
        to_first_JH[:], to_first_H[:], to_last_CH[:], to_last_C[:] = 0.0, 0.0, 0.0, 0.0
        loss = 0.0
        for position in range(start, stop):
            row = order_N[position]
            hidden_H[:] = first_H
            for j in range(num_codes):
                code = codes_NJ[row, j]
                for h in range(num_hidden):
                    hidden_H[h] += code * first_JH[j, h]
            for h in range(num_hidden):
                hidden_H[h] = max(hidden_H[h], 0.0)
            for c in range(num_outputs):
                delta_C[c] = last_C[c] + np.dot(hidden_H, last_CH[c])
            loss += _outputs(delta_C, labels_N[row])
            back_H[:] = 0.0
            for c in range(num_outputs):
                delta = delta_C[c]
                to_last_C[c] += delta
                for h in range(num_hidden):
                    back_H[h] += delta * last_CH[c, h]
                    to_last_CH[c, h] += delta * hidden_H[h]
            for h in range(num_hidden):
                back_H[h] = back_H[h] if hidden_H[h] > 0.0 else 0.0
                to_first_H[h] += back_H[h]
            for j in range(num_codes):
                code = codes_NJ[row, j]
                for h in range(num_hidden):
                    to_first_JH[j, h] += code * back_H[h]
        squares = 0.0
        for j in range(num_codes):
            squares += np.dot(first_JH[j], first_JH[j])
            for h in range(num_hidden):
                to_first_JH[j, h] = (to_first_JH[j, h] + PENALTY * first_JH[j, h]) / size
        for c in range(num_outputs):
            squares += np.dot(last_CH[c], last_CH[c])
            for h in range(num_hidden):
                to_last_CH[c, h] = (to_last_CH[c, h] + PENALTY * last_CH[c, h]) / size
        to_first_H /= size
        to_last_C /= size
        total += loss + 0.5 * PENALTY * squares
        done += 1
        step = rate * math.sqrt(1.0 - DECAY_2**done) / (1.0 - DECAY_1**done)
        _adam(first_JH.reshape(-1), to_first_JH.reshape(-1), moments[0], moments[1], step)
        _adam(first_H, to_first_H, moments[2], moments[3], step)
        _adam(last_CH.reshape(-1), to_last_CH.reshape(-1), moments[4], moments[5], step)
        _adam(last_C, to_last_C, moments[6], moments[7], step)
    return total / len(order_N)


def _epoch_of_large_batches(
    codes_NJ: FloatArray, labels_N: IntArray, order_N: IntArray, batch: int, rate: float, done: int, *state: Any
) -> float:
    """What :func:`_epoch` computes, by matrix products of many rows."""
    *weights, moments = state
    first_JH, first_H, last_CH, last_C = weights
    total = 0.0
    for start in range(0, len(order_N), batch):
        rows_N = order_N[start : start + batch]
        slopes = tuple(np.zeros_like(values) for values in weights)
        to_first_JH, to_first_H, to_last_CH, to_last_C = slopes
        loss = 0.0
        for first in range(0, len(rows_N), BLOCK):
            block_N = rows_N[first : first + BLOCK]
            codes_BJ = codes_NJ[block_N]
            hidden_BH = codes_BJ @ first_JH
            hidden_BH += first_H
            np.maximum(hidden_BH, 0.0, out=hidden_BH)
            delta_BC = hidden_BH @ last_CH.T
            delta_BC += last_C
            loss += _all_outputs(delta_BC, labels_N[block_N])
            to_last_C += delta_BC.sum(axis=0)
            to_last_CH += delta_BC.T @ hidden_BH
            back_BH = delta_BC @ last_CH
            back_BH *= hidden_BH > 0.0
            to_first_H += back_BH.sum(axis=0)
            to_first_JH += codes_BJ.T @ back_BH
        to_first_JH += PENALTY * first_JH
        to_last_CH += PENALTY * last_CH
        squares = float((first_JH**2).sum() + (last_CH**2).sum())
        total += loss + 0.5 * PENALTY * squares
        done += 1
        step = rate * math.sqrt(1.0 - DECAY_2**done) / (1.0 - DECAY_1**done)
        for place, (values, slope) in enumerate(zip(weights, slopes, strict=True)):
            slope /= len(rows_N)
            _adam(values.reshape(-1), slope.reshape(-1), moments[2 * place], moments[2 * place + 1], step)
    return total / len(order_N)


@compiled
def _all_outputs(logits_BC: Array, labels_B: Array) -> float:
    """:func:`_outputs` of each row; the loss of all."""
    loss = 0.0
    for row in range(len(logits_BC)):
        loss += _outputs(logits_BC[row], labels_B[row])
    return loss


def _drawn(rng: np.random.RandomState, fan_in: int, fan_out: int) -> tuple[FloatArray, FloatArray]:
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, (fan_in, fan_out)), rng.uniform(-bound, bound, fan_out)


def fit_network(
    codes_NJ: FloatArray, labels_N: IntArray, hidden: int, batch: int, rate: float, epochs: int, seed: int
) -> Network:
    """A network that tells values numbered from 0 without gaps, two or more of them."""
    rng = np.random.RandomState(seed)
    num_values = int(labels_N.max()) + 1
    first_JH, first_H = _drawn(rng, codes_NJ.shape[1], hidden)
    last_HC, last_C = _drawn(rng, hidden, 1 if num_values == 2 else num_values)
    network = Network(first_JH, first_H, np.ascontiguousarray(last_HC.T), last_C)
    moments = tuple(np.zeros(weights.size) for weights in network for _ in range(2))
    codes_NJ = np.ascontiguousarray(codes_NJ)
    order_N, best, waited = np.arange(len(codes_NJ)), math.inf, 0
    steps = -(-len(codes_NJ) // batch)
    for epoch in range(epochs):
        places = np.arange(len(order_N))
        rng.shuffle(places)
        order_N = order_N[places]
        pass_over = _epoch if batch < LARGE_BATCH else _epoch_of_large_batches
        loss = pass_over(codes_NJ, labels_N, order_N, batch, rate, epoch * steps, *network, moments)
        waited = waited + 1 if loss > best - TOLERANCE else 0
        best = min(best, loss)
        if waited > PATIENCE:
            break
    return network


def predict(network: Network, codes_MJ: FloatArray) -> IntArray:
    """The most probable value of each point ``(M,)``."""
    found = []
    for start in range(0, len(codes_MJ), ROWS_AT_ONCE):
        hidden_MH = np.maximum(codes_MJ[start : start + ROWS_AT_ONCE] @ network.first_JH + network.first_H, 0.0)
        logits_MC = hidden_MH @ network.last_CH.T + network.last_C
        found.append(logits_MC[:, 0] > 0 if logits_MC.shape[1] == 1 else logits_MC.argmax(axis=1))
    return np.concatenate(found).astype(np.int64) if found else np.zeros(0, dtype=np.int64)


def log_likelihood(network: Network, codes_MJ: FloatArray, labels_M: IntArray) -> FloatArray:
    """Logarithm of the probability of each point's value ``(M,)``, not a number where that is -1."""
    found = np.full(len(codes_MJ), np.nan)
    for start in range(0, len(codes_MJ), ROWS_AT_ONCE):
        labels_B = labels_M[start : start + ROWS_AT_ONCE]
        hidden_BH = np.maximum(codes_MJ[start : start + ROWS_AT_ONCE] @ network.first_JH + network.first_H, 0.0)
        logits_BC = hidden_BH @ network.last_CH.T + network.last_C
        if logits_BC.shape[1] == 1:  # of the second of two values
            logits_BC = np.concatenate([np.zeros_like(logits_BC), logits_BC], axis=1)
        logits_BC -= logits_BC.max(axis=1, keepdims=True)
        right_B = logits_BC[np.arange(len(labels_B)), labels_B]
        likely_B = right_B - np.log(np.exp(logits_BC).sum(axis=1))
        found[start : start + ROWS_AT_ONCE] = np.where(labels_B < 0, np.nan, likely_B)
    return found
