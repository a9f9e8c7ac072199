"""Which file statistics are kept in: a name that covers the model, the tensors and the samples' beginning."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir

import edgebig
from edgebig.data.feeds import Feed
from edgebig.dependencies import require
from edgebig.graph.skeleton import skeleton
from edgebig.quantize.calibrate.observe import add_to_digest
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.quantize.calibrate.statistics_file import FORMAT, StatisticsFile
from edgebig.runtime.cache_folder import default_folder, usable_folder

FOLDER = "calibration"
# Larger tensors in files of their own are known by the file's name, size and time, not by their content.
_LARGE = 64 << 20


def statistics_file(model: ir.Model, first: Feed, statistics: Mapping[str, TensorStatistics]) -> StatisticsFile:
    """Where statistics are kept, in the cache folder (`EDGEBIG_CACHE`, or the system's place for caches).

    Args:
        model: The float model.
        first: The first feed of the samples. The others may grow in number: those known are not run again.
        statistics: What is gathered.
    """
    digest = hashlib.sha256()
    ort = require("onnxruntime", extra="cpu", purpose="calibration")
    digest.update(f"{FORMAT}\0{edgebig.__version__}\0{ort.__version__}\0".encode())
    _add_model(digest, model)
    for name, found in statistics.items():
        bins = None if found.histogram is None else found.histogram.counts.size
        digest.update(f"{name}\0{found.channel_axis}\0{bins}\0".encode())
    add_to_digest(digest, first)
    folder = usable_folder(default_folder()) / FOLDER
    return StatisticsFile(folder / f"{digest.hexdigest()[:32]}.npz")


def _add_model(digest: "hashlib._Hash", model: ir.Model) -> None:
    bones = skeleton(model)
    digest.update(bones.proto.SerializeToString(deterministic=True))
    for tensor in bones.tensors:
        if isinstance(tensor, ir.ExternalTensor) and tensor.nbytes > _LARGE:
            facts = Path(tensor.path).stat()
            digest.update(f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}".encode())
            digest.update(f"{tensor.location} {tensor.offset} {tensor.length}".encode())
        else:
            digest.update(tensor.tobytes())
