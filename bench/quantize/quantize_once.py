"""Quantize a model's weights in a process of its own: `python quantize_once.py IN OUT SETTINGS`.

SETTINGS is JSON, the fields of `WeightOnlySettings`. Prints JSON: peak resident memory in bytes, seconds, bytes of the
files, nodes and weights.
"""

import json
import resource
import sys
import time
from pathlib import Path

from edgebig import load_model, save_model
from edgebig.quantize.weight_only import WeightOnlySettings, quantize_weights


def main() -> None:
    """Load, quantize, save, print."""
    source, target, settings = Path(sys.argv[1]), Path(sys.argv[2]), WeightOnlySettings(**json.loads(sys.argv[3]))
    start = time.perf_counter()
    result, changes = quantize_weights(load_model(source), settings=settings)
    files = save_model(result, target, force=True)
    print(
        json.dumps(
            {
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "seconds": time.perf_counter() - start,
                "bytes": sum(file.stat().st_size for file in files),
                "nodes": len(changes),
                "weights": sum(change.weights for change in changes),
            }
        )
    )


if __name__ == "__main__":
    main()
