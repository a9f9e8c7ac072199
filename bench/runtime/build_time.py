"""Time to build one session in a process of its own: `python build_time.py ort|edgebig MODEL THREADS SHAPES`.

SHAPES is JSON, input name -> shape. Prints JSON: seconds to import edgebig's runtime (0 for onnxruntime, whose import
comes before), to build the session, and to run it for the first time on zeros.
"""

import json
import sys
import time

import numpy as np
import onnxruntime


def main() -> None:
    """Build, run once, print."""
    runtime, path, threads, shapes = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    start = time.perf_counter()
    if runtime == "edgebig":
        from edgebig.runtime import InferenceSession

        imported = time.perf_counter()
        given = {name: tuple(shape) for name, (shape, _) in shapes.items()}
        session = InferenceSession(path, options, shapes=[given])
    else:
        imported = time.perf_counter()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    built = time.perf_counter()
    session.run(None, {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes.items()})
    ran = time.perf_counter()
    print(json.dumps({"import_s": imported - start, "build_s": built - imported, "first_run_s": ran - built}))


if __name__ == "__main__":
    main()
