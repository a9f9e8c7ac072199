"""Float nets: the kernels give onnxruntime's numbers to float32's rounding."""

import numpy as np
import pytest

from edgebig.runtime.cache import Cache
from tests.runtime.lower.test_quantized_nets import NETS
from tests.runtime.nets import feeds_of, left_of, net, ours, steps_of, stock


@pytest.mark.parametrize("name", NETS)
def test_float_net(name: str, cache: Cache) -> None:
    model = net(NETS[name])
    (feed,) = feeds_of(model, 1, seed=3)
    (expected,) = stock(model.SerializeToString(), feed)
    (got,), session = ours(model.SerializeToString(), feed, cache)
    assert steps_of(session), session.explain()
    assert not left_of(session), session.explain()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_activations_behind_a_convolution(cache: Cache) -> None:
    for activation in ("Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Softplus", "LeakyRelu", "Elu", "Sqrt"):
        text = f"""agraph (float[1, 4, 7, 7] x, float[9, 4, 3, 3] w0, float[9] b0) => (float[1, 9, 5, 5] y) {{
            a = Conv (x, w0, b0)
            b = Abs (a)
            y = {activation} (b) }}"""
        model = net(text)
        (feed,) = feeds_of(model, 1, seed=3)
        (expected,) = stock(model.SerializeToString(), feed)
        (got,), session = ours(model.SerializeToString(), feed, cache)
        assert not left_of(session), session.explain()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=activation)
