"""The main job on a model and data that lie in the repository: export, optimize, prune, quantize, evaluate, bench.

usage: python3 tools/demo.py          (needs nothing but Python 3.11; about two minutes after the install)
"""

import shutil
import subprocess
import sys
import time

from environment import ROOT, ensure, environment

OUTPUT = ROOT / "demo-output"


def main() -> int:
    """Set up, run the recipe, and say what came out of it."""
    if len(sys.argv) > 1:
        print(__doc__)
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    ensure()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    model, report = OUTPUT / "fashion_mobilenet.onnx", OUTPUT / "report.html"
    command = ["edgebig", "compress", "--recipe", "models/fashion_mobilenet/recipe.toml"]
    command += ["-o", str(model.relative_to(ROOT)), "--report", str(report.relative_to(ROOT))]
    print(f"$ {' '.join(command)}", flush=True)
    start = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode
    if code == 0:
        print(
            f"\nDone in {time.monotonic() - start:.0f} s. float: the exported model, cleaned up. int8: quantized."
            f"\npruned: zeros in blocks of 16 outputs x 4 inputs, as many as the loss budget allows. Stock onnxruntime"
            f"\ngains no speed from zeros. Open {report.relative_to(ROOT)} in a browser for the charts."
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
