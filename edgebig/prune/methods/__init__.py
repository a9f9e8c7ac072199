"""How blocks are ranked within a layer, by name. A new method is one file and one line here."""

from edgebig.prune.methods.magnitude import magnitude
from edgebig.prune.methods.obs import obs
from edgebig.prune.methods.wanda import wanda
from edgebig.prune.ranking import Method
from edgebig.registry import Registry

methods: Registry[Method] = Registry("pruning method")
methods.register("obs", obs)
methods.register("wanda", wanda)
methods.register("magnitude", magnitude)
