"""Logistic regression at its optimum, compiled.

The objective is scikit-learn's: mean log loss plus ``|w|² / (2 C S)``, S the sum of the weights, intercepts free. It is
convex: whoever reaches a gradient of zero has the same answer. Three things make it quick. A part of the points is
solved first; the Hessian there preconditions L-BFGS on all of them, which then needs a handful of passes (Byrd et al.,
"On the Use of Stochastic Hessian Information in Optimization Methods for Machine Learning", SIAM J. Optim. 2011); and
all passes but the last are in single precision, which the last, in double precision, checks.

Shape suffixes: N points, J codes, C classes, R columns (classes of a softmax, or questions of yes and no), P the codes
and the intercept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import FloatArray, IntArray
from contrafact.core.once import once
from contrafact.metrics._compile import workers
from contrafact.metrics._logistic_pass import PLACES, add_pass, constants_of, fill_blocks

Array = npt.NDArray[Any]
Precondition = Callable[[FloatArray], FloatArray]

PARTS = 8  # of many points, one after the other in each: as many whatever the threads, so that sums are the same
MANY = 32_768  # points
DECREMENT = 1e-14  # Newton's: by how much the mean loss may still exceed the optimum
STALLED, HARDLY = 1e-9, 0.6  # from here on, in single precision, not even that where a step lowers it to no such share
LARGEST_HESSIAN = 1_500  # parameters up to which the classes may be preconditioned together,
SMALL_HESSIAN = 200  # up to which they always are; of more where that is soon saved, or each by itself did not do
PASSES_SAVED = 8  # about as many as that saves,
LOOSE = 0.5  # where classes are confused with a few others each
SAMPLE = 3000  # points of the part that is solved first, or 40 for every code
MEMORY = 10  # pairs of L-BFGS
STEPS, FALL = 15, 0.01  # of one preconditioner, before it is asked whether the decrement fell to such a share
MOST_STEPS = 60
ROUNDS, UNPENALISED_ROUNDS = 40, 6  # the fewer where the optimum may lie infinitely far
PART_DECREMENT = 1e-3
FASTER = 4.0  # times the last step's length that a step may begin with: where one was too long, the next is as well
SLOW = (1e-8, 5e-3)  # shares of the loss, between which a round lowers it where the optimum lies infinitely far
CERTAIN = 1e-10  # a mean loss only reached on separable points without penalty, where the optimum lies infinitely far


def _softmax(scores_NR: Array) -> Array:
    exp_NR = np.exp(scores_NR - scores_NR.max(axis=1, keepdims=True))
    return np.asarray(exp_NR / exp_NR.sum(axis=1, keepdims=True))


def _sigmoid(scores_NR: Array) -> Array:
    small_NR = np.exp(-np.abs(scores_NR))
    return np.asarray(np.where(scores_NR > 0, 1, small_NR) / (1 + small_NR))


class _Points(NamedTuple):
    """Points of one precision.

    Attributes:
        codes_NJ: codes.
        center_J: what is subtracted from them.
        labels_N: places of the labels among the classes.
        weight_C: weight of a point of each class; they add up to 1 over all points.
        softmax: one question with C answers, else R questions of yes and no.
        first: class of the first question.
        columns: R.
        penalty: factor on half the squared coefficients.
        kind: precision of passes.
        blocks_MJB: the codes as passes read them, or None where each makes its own.
    """

    codes_NJ: Array
    center_J: FloatArray
    labels_N: IntArray
    weight_C: FloatArray
    softmax: bool
    first: int
    columns: int
    penalty: float
    kind: type[np.floating[Any]] = np.float64
    blocks_MJB: Array | None = None

    def blocked(self, kind: type[np.floating[Any]]) -> _Points:
        """The same with blocks at hand."""
        num_points, num_codes = self.codes_NJ.shape
        blocks_MJB = np.empty((-(-num_points // PLACES), num_codes, PLACES), kind)
        fill_blocks(self.codes_NJ, self.center_J, blocks_MJB)
        return self._replace(kind=kind, blocks_MJB=blocks_MJB)

    def loss(self, theta_RP: FloatArray) -> tuple[float, FloatArray]:
        """Loss and its gradient ``(R, P)``."""
        num_parts = PARTS if len(self.codes_NJ) >= MANY else 1
        edges = np.linspace(0, -(-len(self.codes_NJ) // PLACES), num_parts + 1).round().astype(np.int64).tolist()
        losses, gradients = np.zeros(num_parts), np.zeros((num_parts, *theta_RP.shape))

        def add(part: int) -> None:
            losses[part] = self._add_blocks(edges[part], edges[part + 1], theta_RP, gradients[part])

        if num_parts == 1:
            add(0)
        else:
            with workers() as (run_all, _):
                run_all(add, [(part,) for part in range(num_parts)])
        loss = float(losses.sum()) + self.penalty / 2 * float((theta_RP[:, :-1] ** 2).sum())
        gradient_RP = gradients.sum(axis=0)
        gradient_RP[:, :-1] += self.penalty * theta_RP[:, :-1]
        return loss, self.centered(gradient_RP)

    def _add_blocks(self, start: int, end: int, theta_RP: FloatArray, gradient_RP: FloatArray) -> float:
        """Add what some blocks do to the gradient; returns what they add to the loss."""
        weights_RJ, intercept_R = theta_RP[:, :-1].astype(self.kind, order="C"), theta_RP[:, -1].astype(self.kind)
        scratch = np.empty((4, PLACES), self.kind)
        bits = scratch[-1].view(np.int32 if self.kind == np.float32 else np.int64)
        constants, loss = constants_of(self.kind), 0.0
        step = max(1, end - start) if self.blocks_MJB is not None else 1
        room = np.empty((1, self.codes_NJ.shape[1], PLACES) if self.blocks_MJB is None else 0, self.kind)
        for block in range(start, end, step):
            points = slice(block * PLACES, (block + step) * PLACES)
            if self.blocks_MJB is None:
                fill_blocks(self.codes_NJ[points], self.center_J, room)
            blocks = room if self.blocks_MJB is None else self.blocks_MJB[block : block + step]
            loss += add_pass(
                blocks,
                self.labels_N[points],
                self.weight_C,
                self.softmax,
                self.first,
                weights_RJ,
                intercept_R,
                constants,
                bits,
                scratch,
                gradient_RP,
            )
        return loss

    def centered(self, values_RP: FloatArray) -> FloatArray:
        """Without what all classes of a softmax share, to which its loss is blind and the penalty averse."""
        return values_RP - values_RP.mean(axis=0) if self.softmax else values_RP

    def rows(self, chosen: IntArray) -> Array:
        """Codes of some points, less their centers, in the passes' precision."""
        codes_NJ = self.codes_NJ[chosen]
        codes_NJ -= self.center_J
        return np.asarray(codes_NJ, dtype=self.kind)

    def part(self, size: int) -> _Points:
        """About ``size`` points, evenly from every class, 20 of each that has them, in double precision."""
        count_C = np.bincount(self.labels_N, minlength=len(self.weight_C))
        taken_C = np.minimum(count_C, np.maximum(20, np.ceil(count_C * (size / len(self.labels_N))).astype(np.int64)))
        order_N = np.argsort(self.labels_N, kind="stable")
        first_C = np.cumsum(count_C) - count_C
        chosen = np.concatenate(
            [
                order_N[first + np.arange(taken) * count // taken]
                for first, count, taken in zip(first_C, count_C, taken_C, strict=True)
                if taken
            ]
        )
        chosen.sort()
        return self._replace(
            codes_NJ=self.codes_NJ[chosen],
            labels_N=self.labels_N[chosen],
            weight_C=self.weight_C * (count_C / np.maximum(taken_C, 1)),
        ).blocked(np.float64)


class _Preconditioner:
    """Inverse of the Hessian at a point: of all columns together where they are few, else of each column."""

    def __init__(self, points: _Points, theta_RP: FloatArray, size: int, *, thorough: bool = False) -> None:
        share, looked_at = 1.0, np.arange(len(points.labels_N))
        if len(points.labels_N) > 8 * size:  # look at so many, of which those that count are drawn
            looked_at = np.sort(np.random.default_rng(0).integers(len(points.labels_N), size=8 * size))
            share = 8 * size / len(points.labels_N)
        codes_NJ = points.rows(looked_at)
        scores_NR = codes_NJ @ theta_RP[:, :-1].T.astype(points.kind) + theta_RP[:, -1].astype(points.kind)
        likely_NR = _softmax(scores_NR) if points.softmax else _sigmoid(scores_NR)
        weight_N = points.weight_C[points.labels_N[looked_at]] / share
        num_parameters = points.columns * theta_RP.shape[1]
        affordable = min(size, len(points.labels_N)) * num_parameters <= 8 * PASSES_SAVED * len(points.labels_N)
        self.together = points.softmax and num_parameters <= SMALL_HESSIAN
        if points.softmax and SMALL_HESSIAN < num_parameters <= LARGEST_HESSIAN:
            self.together = thorough or (affordable and _coupling(weight_N, likely_NR) < LOOSE)
        chosen: Any = slice(None)
        if len(weight_N) > 2 * size:
            # Where points are told apart well, the few that are not carry all curvature: draw by it.
            curvature_N = weight_N * (likely_NR * (1 - likely_NR)).sum(axis=1)
            curvature_N += 0.1 * curvature_N.mean()
            sums_N = np.cumsum(curvature_N, dtype=np.float64)
            places = np.searchsorted(sums_N, (np.arange(size) + 0.5) * (sums_N[-1] / size))
            chosen, times = np.unique(places, return_counts=True)
            weight_N = weight_N[chosen] * times * (sums_N[-1] / size) / curvature_N[chosen]
            likely_NR = likely_NR[chosen].astype(np.float64)
        codes_NJ = codes_NJ[chosen]
        num_points, num_codes = codes_NJ.shape
        width = num_codes + 1
        inputs_NP = np.ones((num_points, width), dtype=codes_NJ.dtype)
        inputs_NP[:, :-1] = codes_NJ
        self.centered = points.centered
        penalty_P = np.append(np.full(num_codes, points.penalty), 0.0)
        blocks: list[FloatArray] = []
        alike = not (self.together or theta_RP.any())  # at the start every column has the same Hessian
        for likely_N in likely_NR.T[: 1 if alike else None]:
            curve_N = np.sqrt(weight_N * likely_N * (1.0 if self.together else 1.0 - likely_N))
            scaled_NP = curve_N[:, None].astype(inputs_NP.dtype) * inputs_NP
            blocks.append((scaled_NP.T @ scaled_NP).astype(np.float64) + np.diag(penalty_P))
        if not self.together:
            self.root_RPP = np.stack([_root(block) for block in blocks])
        else:
            from scipy.linalg import block_diag

            scaled_NR = (np.sqrt(weight_N)[:, None] * likely_NR).astype(inputs_NP.dtype)
            outer_NH = (scaled_NR[:, :, None] * inputs_NP[:, None, :]).reshape(num_points, -1)
            self.scale_H, self.factor = _factor(block_diag(*blocks) - (outer_NH.T @ outer_NH))

    def __call__(self, gradient_RP: FloatArray) -> FloatArray:
        from scipy.linalg import cho_solve

        if self.together:
            flat = self.scale_H * cho_solve(self.factor, self.scale_H * gradient_RP.ravel(), check_finite=False)
            return self.centered(flat.reshape(gradient_RP.shape))
        halfway_RP1 = np.matmul(self.root_RPP, gradient_RP[:, :, None])
        return self.centered(np.matmul(self.root_RPP.transpose(0, 2, 1), halfway_RP1)[:, :, 0])


def _coupling(weight_N: FloatArray, likely_NR: Array) -> float:
    """Least curvature of one class against the others, when each by itself has 1: near 0 where classes form a chain."""
    curvature_R = weight_N @ (likely_NR * (1.0 - likely_NR))
    scale_R = 1.0 / np.sqrt(np.maximum(curvature_R, 1e-300))
    shared_RR = (likely_NR * weight_N[:, None]).T @ likely_NR
    np.fill_diagonal(shared_RR, -curvature_R)
    return float(np.linalg.eigvalsh(-scale_R[:, None] * shared_RR * scale_R)[1])


def _factor(hessian_HH: FloatArray) -> tuple[FloatArray, Any]:
    """Cholesky factor of a Hessian scaled to a diagonal of 1, with what rounding may have taken given back."""
    from scipy.linalg import cho_factor

    diagonal_H = np.diag(hessian_HH).copy()
    live_H = diagonal_H > 1e-12 * diagonal_H.max()
    # A direction without curvature has no gradient either, or is one that separable points run away in.
    scale_H = 1.0 / np.sqrt(np.where(live_H, diagonal_H, max(1e-12 * float(diagonal_H.max()), 1e-300)))
    scaled_HH = scale_H[:, None] * hessian_HH * scale_H
    ridge = 1e-11
    while True:
        try:
            return scale_H, cho_factor(scaled_HH + ridge * np.eye(len(scaled_HH)), check_finite=False)
        except np.linalg.LinAlgError:
            ridge *= 10


def _root(hessian_PP: FloatArray) -> FloatArray:
    """``W`` with ``W.T @ W`` the inverse of a Hessian: many small ones are quicker applied so than by their factors.

    The inverse itself would not stay positive, where codes are nearly one direction.
    """
    from scipy.linalg import solve_triangular

    scale_P, (factor, lower) = _factor(hessian_PP)
    unit_PP = np.eye(len(scale_P))
    root_PP = solve_triangular(factor, unit_PP, lower=lower, trans=0 if lower else 1, check_finite=False)
    return np.asarray(root_PP * scale_P)


class _Descent:
    """Preconditioned L-BFGS: of a softmax's columns together, of separate questions each by itself, pass by pass."""

    def __init__(self, columns: int, num_codes: int, together: bool) -> None:
        self.theta_RP = np.zeros((columns, num_codes + 1))
        self.together = together
        self.pairs: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self.precondition: _Preconditioner | None = None
        self.loss, self.gradient_RP = np.inf, np.zeros_like(self.theta_RP)

    def dot(self, left_RP: FloatArray, right_RP: FloatArray) -> FloatArray:
        """``(1, 1)``, or ``(R, 1)`` for separate questions."""
        product_RP = left_RP * right_RP
        return np.asarray(product_RP.sum(axis=None if self.together else 1, keepdims=True))

    def direction(self, gradient_RP: FloatArray, precondition: Precondition) -> FloatArray:
        down_RP, shares = -gradient_RP, []
        for step, change, curvature in reversed(self.pairs):
            shares.append(self.dot(step, down_RP) * curvature)
            down_RP = down_RP - shares[-1] * change
        down_RP = precondition(down_RP)
        if self.pairs:
            # A Hessian of few points is too small in some direction: the last step tells by how much.
            step, change, _ = self.pairs[-1]
            stretch = self.dot(step, change) / np.maximum(self.dot(change, precondition(change)), 1e-300)
            down_RP = down_RP * np.where(stretch > 0, np.minimum(stretch, 1.0), 1.0)
        for (step, change, curvature), share in zip(self.pairs, reversed(shares), strict=True):
            down_RP = down_RP + (share - self.dot(change, down_RP) * curvature) * step
        return down_RP

    def steepest(self, gradient_RP: FloatArray) -> FloatArray:
        """In place of a preconditioner that led nowhere: the gradient by the last step's curvature."""
        if not self.pairs:
            return gradient_RP / np.sqrt(np.maximum(self.dot(gradient_RP, gradient_RP), 1e-300))
        step, change, _ = self.pairs[-1]
        return gradient_RP * np.abs(self.dot(step, change)) / np.maximum(self.dot(change, change), 1e-300)

    def solve(self, points: _Points, size: int, decrement: float, rounds: int) -> None:
        """Step, with a new preconditioner when the last has not led there, until the decrement is small."""
        slow, led = 0, True
        for count in range(rounds):
            if self.precondition is None:
                self.precondition = _Preconditioner(points, self.theta_RP, size, thorough=count > 0)
            before = self.loss
            done, led = self.run(points, self.precondition if led else self.steepest, decrement)
            if done:
                return
            led |= count == 0  # the next looks at the classes together, or from nearer
            slow = slow + 1 if SLOW[0] * self.loss < before - self.loss < SLOW[1] * self.loss else 0
            if slow == 2 and not points.penalty:
                return  # points of some classes can be told apart without fail, and nothing stops the coefficients
            self.precondition = None
            self.pairs.clear()

    def run(self, points: _Points, precondition: Precondition, decrement: float) -> tuple[bool, bool]:
        """Step until Newton's decrement is small everywhere, or hardly falls, or rounding stops it.

        Returns:
            whether it is small, and whether another run of this kind is worth its passes.
        """
        noise = 1e-7 if points.kind == np.float32 else 1e-14
        loss, gradient_RP = points.loss(self.theta_RP)
        size = np.ones((1 if self.together else len(self.theta_RP), 1))
        last = before = np.inf
        for count in range(MOST_STEPS):
            down_RP = self.direction(gradient_RP, precondition)
            slope = self.dot(down_RP, gradient_RP)
            if (slope > 0).any():  # rounding, in pairs nearly parallel
                self.pairs.clear()
                down_RP = precondition(-gradient_RP)
                slope = self.dot(down_RP, gradient_RP)
            stalled = noise > 1e-10 and -slope.min() < STALLED and -slope.min() > HARDLY * before
            before = -float(slope.min())
            moving = -slope > 2 * decrement
            self.loss, self.gradient_RP = loss, gradient_RP
            if not moving.any() or stalled or loss <= CERTAIN:
                return True, True
            if count % STEPS == 0:
                if not -slope.min() < FALL * last:
                    return False, precondition == self.steepest
                last = -float(slope.min())
            down_RP = np.where(moving, down_RP, 0.0)
            size = np.minimum(1.0, FASTER * size)
            low, high = np.zeros_like(slope), np.full_like(slope, np.inf)
            for _ in range(30):
                new_loss, new_gradient_RP = points.loss(self.theta_RP + size * down_RP)
                new_slope = self.dot(down_RP, new_gradient_RP)
                # Of a convex function slopes say where it is lowest; its value tells where rounding lets it.
                worse = self.together and new_loss > loss + noise * (1.0 + abs(loss))
                too_far, too_near = moving & (worse | (new_slope > -0.5 * slope)), moving & (new_slope < 0.7 * slope)
                too_near &= ~too_far
                if not (too_far | too_near).any():
                    break
                high, low = np.where(too_far, size, high), np.where(too_near, size, low)
                secant = size * slope / np.where(slope < new_slope, slope - new_slope, -np.inf)
                middle = np.where(np.isfinite(high), (low + np.minimum(high, 1e30)) / 2, 4 * size)
                inside = (secant > low + 0.1 * (middle - low)) & (secant < np.where(np.isfinite(high), high, 10 * size))
                size = np.where(too_far | too_near, np.where(inside & ~worse, secant, middle), size)
            else:
                return False, precondition == self.steepest
            step, change = size * down_RP, new_gradient_RP - gradient_RP
            product = self.dot(step, change)
            curvature = np.where(product > 1e-12 * -slope, 1.0 / np.where(product > 0, product, 1.0), 0.0)
            self.pairs = [*self.pairs[-MEMORY + 1 :], (step, change, curvature)]
            self.theta_RP = self.theta_RP + step
            loss, gradient_RP = new_loss, new_gradient_RP
        return False, True


class Logistic(NamedTuple):
    """A fitted model.

    Attributes:
        classes_C: values of the labels, sorted.
        weights_JR: coefficients, a column for each class, or a single one for the second of two classes.
        intercept_R: intercepts.
        softmax: whether the columns are one question.
        loss: the objective.
        gradient_RP: its gradient, zero at the optimum.
    """

    classes_C: IntArray
    weights_JR: FloatArray
    intercept_R: FloatArray
    softmax: bool
    loss: float
    gradient_RP: FloatArray

    def probabilities(self, codes_NJ: FloatArray) -> FloatArray:
        """``(N, C)``; of separate questions, each divided by their sum over classes."""
        scores_NR = codes_NJ @ self.weights_JR + self.intercept_R
        if self.softmax:
            return _softmax(scores_NR)
        likely_NC = _sigmoid(scores_NR)
        if len(self.classes_C) == 2:
            return np.concatenate([_sigmoid(-scores_NR), likely_NC], axis=1)
        total_N = likely_NC.sum(axis=1, keepdims=True)
        return np.asarray(likely_NC / np.where(total_N > 0, total_N, 1.0))

    def predict(self, codes_NJ: FloatArray) -> IntArray:
        """Most likely values ``(N,)``."""
        scores_NR = codes_NJ @ self.weights_JR + self.intercept_R
        places_N = scores_NR[:, 0] > 0 if len(self.classes_C) == 2 else scores_NR.argmax(axis=1)
        return self.classes_C[np.asarray(places_N).astype(np.int64)]


@once
def fit_logistic(
    codes_NJ: FloatArray,
    labels_N: IntArray,
    inverse_penalty: float = 1.0,
    *,
    one_vs_rest: bool = False,
    balanced: bool = False,
) -> Logistic:
    """Fit all classes at once, or one against the rest each.

    Args:
        codes_NJ: codes.
        labels_N: labels of at least two values.
        inverse_penalty: C of the L2 penalty, infinite for none.
        one_vs_rest: a model for each class rather than one softmax; two classes are one question either way.
        balanced: weigh points so that each class weighs the same.

    Raises:
        ValueError: one value only.
    """
    classes_C, places_N = np.unique(labels_N, return_inverse=True)
    if len(classes_C) < 2:
        raise ValueError(f"logistic regression needs at least two values to tell apart, got {classes_C.tolist()}")
    codes_NJ = np.ascontiguousarray(codes_NJ, dtype=np.float64)
    some_NJ = codes_NJ[:: len(codes_NJ) // SAMPLE + 1]
    center_J = some_NJ.mean(axis=0)
    if not (np.abs(center_J) > 0.1 * some_NJ.std(axis=0)).any():
        center_J[:] = 0.0  # only far from 0 codes and intercept are nearly one direction
    count_C = np.bincount(places_N)
    weight_C = len(labels_N) / (len(classes_C) * count_C) if balanced else np.ones(len(classes_C))
    total = float((weight_C * count_C).sum())
    softmax, first = len(classes_C) > 2 and not one_vs_rest, int(len(classes_C) == 2)
    columns = 1 if first else len(classes_C)
    places_N = places_N.reshape(-1).astype(np.int64)
    penalty = 1.0 / (inverse_penalty * total)
    points = _Points(codes_NJ, center_J, places_N, weight_C / total, softmax, first, columns, penalty)
    descent = _Descent(columns, codes_NJ.shape[1], softmax)
    size = max(SAMPLE, 60 * (codes_NJ.shape[1] + 1))
    if len(codes_NJ) > 2 * size:
        # To the letter the part would be learnt by heart, where its points are separable and all of them are not.
        descent.solve(points.part(size), size, PART_DECREMENT, rounds=1)
        descent.precondition = None
        descent.pairs.clear()
        descent.solve(points.blocked(np.float32), size, DECREMENT, rounds=6)
    else:
        points = points.blocked(np.float64)
    descent.solve(points, size, DECREMENT, rounds=ROUNDS if points.penalty else UNPENALISED_ROUNDS)
    weights_JR = descent.theta_RP[:, :-1].T.copy()
    intercept_R = descent.theta_RP[:, -1] - center_J @ weights_JR
    return Logistic(classes_C, weights_JR, intercept_R, softmax, descent.loss, descent.gradient_RP)
