"""Steps that share their code: whatever their numbers, one function serves them, given each one's numbers."""

from dataclasses import replace

import numpy as np
import pytest

from edgebig.kernels.attention import Attention
from edgebig.kernels.attention_scores import Rounding
from edgebig.kernels.batched_tile import Layout
from edgebig.kernels.convert import Dequantize, Quantize, Requant
from edgebig.kernels.convert_layout import DequantizeTranspose, QuantizeTranspose
from edgebig.kernels.elementwise import Add, Multiply
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.numbers import NUMBERS, Numbered, packed

HEADS = Layout(32, 8, 160)
ATTENTION = Attention(
    1, 4, 5, 5, 8, 8, HEADS, HEADS, HEADS, HEADS, product_scale=0.3, probabilities=Rounding(255.0, 1.0),
    value_scale=2.5, element="u8", zero_points=(1, 2, 3), output=Requantize(7, 3, 250),
)  # fmt: skip
PAIRS = [
    (Quantize(9, 0.5, 3), Quantize(9, 0.25, 200, 200, 250)),
    (Dequantize(9, 0.5, 3), Dequantize(9, 0.25, 200)),
    (Requant(9, 0.5, 3, 0.2, 9), Requant(9, 0.25, 7, 0.1, 1)),
    (QuantizeTranspose(1, 8, 3, 3, 0.5, 3), QuantizeTranspose(1, 8, 3, 3, 0.25, 200, 1, 250)),
    (DequantizeTranspose(1, 8, 3, 3, 0.5, 3), DequantizeTranspose(1, 8, 3, 3, 0.25, 200)),
    (Add(2, 8, 0.5, 3, 0.2, 9, Requantize(4)), Add(2, 8, 0.25, 7, 0.1, 1, Requantize(5))),
    (Multiply(2, 8, 0.5, 3, 9, Requantize(4)), Multiply(2, 8, 0.25, 7, 1, Requantize(5))),
    (ATTENTION, replace(ATTENTION, product_scale=0.4, zero_points=(9, 8, 7), output=Requantize(1), value_scale=3.5)),
]


@pytest.mark.parametrize(("one", "two"), PAIRS, ids=lambda step: type(step).__name__)
def test_other_numbers_are_the_same_code(one, two):
    assert isinstance(one, Numbered)
    assert NUMBERS in one.operands
    assert one.without_numbers() == two.without_numbers() == one.without_numbers().without_numbers()
    assert one.numbers().shape == two.numbers().shape
    assert one.numbers().tobytes() != two.numbers().tobytes()


@pytest.mark.parametrize(
    "other",
    [
        Add(2, 8, 2.0**30, 3, 0.2, 9, Requantize(4)),  # sums may not fit 32 bits
        Add(2, 8, 0.5, 3, 0.2, 9, Requantize(4, 4, 200)),
        Add(2, 9, 0.5, 3, 0.2, 9, Requantize(4)),
    ],
)
def test_another_kind_of_work_is_other_code(other):
    assert other.without_numbers() != Add(2, 8, 0.5, 3, 0.2, 9, Requantize(4)).without_numbers()


def test_a_scale_of_one_and_a_missing_rounding_stay():
    assert replace(ATTENTION, product_scale=1.0).without_numbers() != ATTENTION.without_numbers()
    assert replace(ATTENTION, probabilities=None).without_numbers() != ATTENTION.without_numbers()


def test_integers_keep_their_bits():
    found = packed(0.5, 7, -2)
    assert found.dtype == np.float32
    assert found[0] == 0.5
    assert found.view(np.int32)[1:].tolist() == [7, -2]
