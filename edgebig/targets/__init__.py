"""Targets by name. A new target is one file and one line here."""

from collections.abc import Callable

from edgebig.registry import Registry
from edgebig.targets.base import Target
from edgebig.targets.openvino import openvino
from edgebig.targets.ort_cpu import ort_cpu, ort_cpu_arm64, ort_cpu_avx2, ort_cpu_vnni
from edgebig.targets.ort_cuda import ort_cuda
from edgebig.targets.qnn import qnn
from edgebig.targets.tensorrt import tensorrt_10, tensorrt_11

__all__ = ["Target", "targets"]

# Built on use: a target may look at the machine it runs on.
targets: Registry[Callable[[], Target]] = Registry("target")
targets.register("ort-cpu", ort_cpu)
targets.register("ort-cpu-vnni", ort_cpu_vnni)
targets.register("ort-cpu-avx2", ort_cpu_avx2)
targets.register("ort-cpu-arm64", ort_cpu_arm64)
targets.register("ort-cuda", ort_cuda)
targets.register("tensorrt-10", tensorrt_10)
targets.register("tensorrt-11", tensorrt_11)
targets.register("openvino", openvino)
targets.register("qnn", qnn)
