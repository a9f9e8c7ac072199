"""Which of two sessions is faster: the one with kernels, or onnxruntime's own. Answers are compared first."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgebig.progress import silent
from edgebig.timing.clock import Run
from edgebig.timing.comparison import compare_rounds
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import SETTLE_NS, SPIN_NS, plan_turn
from edgebig.timing.warmup import warm_up

ROUNDS = 12
BUDGET_NS = 600_000_000
WARM_NS = 150_000_000
# A busy machine is measured again, for longer, where the kernels seem faster by this much and it is not sure.
WORTH = 1.03
ATTEMPTS = 3
# Integer results may differ by a step here and there, and noise as input makes the most of it; so only an answer
# that is plainly another one is refused here. Tests hold the kernels to exact oracles.
LEAST_SQNR = 15.0


@dataclass(frozen=True)
class Verdict:
    """The outcome.

    Attributes:
        faster: Whether the kernels were shown to be faster.
        speedup, low, high: Of the kernels over onnxruntime, with its interval.
        reason: In words.
        decided: Whether another measurement would hardly say anything else.
    """

    faster: bool
    speedup: float | None
    low: float | None
    high: float | None
    reason: str
    decided: bool = True


def contest(ours: Any, stock: Any, exact: Any, feed: Mapping[str, NDArray], *, seed: int = 0) -> Verdict:
    """Measure two sessions, interleaved, once ours is seen to answer right.

    Args:
        ours: The session with kernels.
        stock: onnxruntime's own.
        exact: onnxruntime without rewriting, which computes quantized nodes in float: nothing saturates there.
        feed: Inputs for all.
        seed: Of the order.
    """
    answers = [session.run(None, dict(feed)) for session in (exact, ours)]
    for expected, got in zip(*answers, strict=True):
        ratio = sqnr(expected, got)
        if ratio < LEAST_SQNR:
            return Verdict(False, None, None, None, f"answers differ from onnxruntime's: {ratio:.1f} dB")
    runs = [bound(stock, feed, answers[0]), bound(ours, feed, answers[1])]
    threads = ours.get_session_options().intra_op_num_threads
    with silent():
        calls = [warm_up(run, limit_ns=WARM_NS).call_ns for run in runs]
        turns = [plan_turn(ns, settle_ns=SETTLE_NS if threads == 1 else SPIN_NS) for ns in calls]
        for attempt in range(ATTEMPTS):
            values = measure_rounds(runs, turns, rounds=ROUNDS, budget_ns=BUDGET_NS << attempt, seed=seed + attempt)
            found = compare_rounds(values[0], values[1])
            if found.low > 1.0 or found.high < 1.0 or found.speedup < WORTH:
                break
    words = f"{found.speedup:.2f} times as fast as onnxruntime [{found.low:.2f}, {found.high:.2f}]"
    decided = found.low > 1.0 or found.speedup < WORTH
    words += "" if decided else "; the machine is too busy to be sure"
    return Verdict(found.low > 1.0, found.speedup, found.low, found.high, words, decided)


def bound(session: Any, feed: Mapping[str, NDArray], outputs: list[NDArray]) -> Run:
    """A callable that runs a session on memory bound once."""
    binding = session.io_binding()
    for name, array in feed.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)))
    for output, value in zip(session.get_outputs(), outputs, strict=True):
        binding.bind_ortvalue_output(output.name, ort.OrtValue.ortvalue_from_numpy(np.empty_like(value)))
    return partial(session.run_with_iobinding, binding)


def sqnr(expected: NDArray, got: NDArray) -> float:
    """10 log10 of the expected's power over the difference's; infinite where they are equal."""
    a, b = (np.nan_to_num(np.asarray(x, dtype=np.float64)) for x in (expected, got))
    noise = float(((a - b) ** 2).sum())
    if noise == 0:
        return float("inf")
    power = float(((a - a.mean()) ** 2).sum()) or float((a**2).sum())
    return 10 * float(np.log10(max(power, 1e-300) / noise))


def random_feed(session: Any, seed: int = 0) -> dict[str, NDArray]:
    """Values for the inputs of a session with static shapes: normal floats, any bytes, zeros for wider integers."""
    rng = np.random.default_rng(seed)
    feed = {}
    for item in session.get_inputs():
        shape = [int(size) for size in item.shape]
        kind = item.type.removeprefix("tensor(").removesuffix(")")
        if kind in ("float", "double", "float16"):
            dtype = {"float": np.float32, "double": np.float64, "float16": np.float16}[kind]
            feed[item.name] = rng.standard_normal(shape).astype(dtype)
        elif kind in ("uint8", "int8"):
            low, high = (0, 256) if kind == "uint8" else (-128, 128)
            feed[item.name] = rng.integers(low, high, shape).astype(kind)
        else:
            feed[item.name] = np.zeros(shape, {"bool": np.bool_}.get(kind, kind))
    return feed
