"""Oracles of the metrics: plain loops that share no code with edgebig."""

import math
from collections.abc import Sequence


def top1(scores: Sequence[Sequence[float]], labels: Sequence[int]) -> float:
    right = 0
    for row, label in zip(scores, labels, strict=True):
        best = 0
        for index, score in enumerate(row):
            if score > row[best]:
                best = index
        right += best == label
    return right / len(labels)


def f1_macro(predictions: Sequence[int], labels: Sequence[int]) -> float:
    total, classes = 0.0, sorted(set(predictions) | set(labels))
    for wanted in classes:
        hits = misses = alarms = 0
        for predicted, label in zip(predictions, labels, strict=True):
            hits += predicted == wanted and label == wanted
            misses += predicted != wanted and label == wanted
            alarms += predicted == wanted and label != wanted
        precision = hits / (hits + alarms) if hits + alarms else 0.0
        recall = hits / (hits + misses) if hits + misses else 0.0
        total += 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return total / len(classes)


def auc_roc(scores: Sequence[float], labels: Sequence[int]) -> float:
    won, pairs = 0.0, 0
    for positive, label in zip(scores, labels, strict=True):
        for negative, other in zip(scores, labels, strict=True):
            if label == 1 and other == 0:
                pairs += 1
                won += 1.0 if positive > negative else 0.5 if positive == negative else 0.0
    return won / pairs


def mse(values: Sequence[float], targets: Sequence[float]) -> float:
    return math.fsum((v - t) * (v - t) for v, t in zip(values, targets, strict=True)) / len(values)


def cosine_distance(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> float:
    total = 0.0
    for first, second in zip(a, b, strict=True):
        dot = math.fsum(x * y for x, y in zip(first, second, strict=True))
        norms = math.sqrt(math.fsum(x * x for x in first)) * math.sqrt(math.fsum(y * y for y in second))
        total += 1.0 - dot / norms
    return total / len(a)


def relative_error(a: Sequence[float], b: Sequence[float]) -> float:
    difference = math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return math.sqrt(difference / math.fsum(x * x for x in a))
