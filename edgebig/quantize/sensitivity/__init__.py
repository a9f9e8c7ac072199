"""Which layers a change hurts most, and which to leave alone so that a loss budget is met.

`layer_sensitivities` measures each layer alone; `meet_budget` chooses. Both take any change: static, dynamic or
weight-only quantization, or pruning.
"""

from edgebig.quantize.sensitivity.budget import Budget, meet_budget
from edgebig.quantize.sensitivity.costs import LayerCost, layer_costs
from edgebig.quantize.sensitivity.feeds import finer_feeds
from edgebig.quantize.sensitivity.layers import layer_sensitivities
from edgebig.quantize.sensitivity.trials import Judge

__all__ = ["Budget", "Judge", "LayerCost", "finer_feeds", "layer_costs", "layer_sensitivities", "meet_budget"]
