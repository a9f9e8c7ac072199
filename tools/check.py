"""Every check of the repository: lint, format, types, import contracts, tests. Needs nothing but Python 3.11.

usage: python3 tools/check.py [--fast] [pytest arguments]
"""

import os
import subprocess
import sys
import time

from environment import ROOT, ensure, environment, python

# Each takes up to two gigabytes.
MOST_WORKERS = 4


def main() -> int:
    """Run all checks, say which failed, and return the exit code."""
    arguments = sys.argv[1:]
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    fast = "--fast" in arguments
    extra = [argument for argument in arguments if argument != "--fast"]
    ensure()
    bin_folder = python().parent
    checks = {
        "lint": [bin_folder / "ruff", "check", "."],
        "format": [bin_folder / "ruff", "format", "--check", "."],
        "types": [bin_folder / "mypy"],
        "imports": [bin_folder / "lint-imports"],
        "tests": [
            python(),
            "-m",
            "pytest",
            *_workers(),
            *(["-m", "not slow and not exhaustive"] if fast else []),
            *extra,
        ],
    }
    failed = [name for name, command in checks.items() if not _run(name, [str(part) for part in command])]
    print("All checks passed." if not failed else f"Failed: {', '.join(failed)}.")
    return 1 if failed else 0


def _workers() -> list[str]:
    """The tests are spread over the processors, but for groups (`xdist_group`) that share what is slow to make."""
    count = min(os.cpu_count() or 1, MOST_WORKERS)
    return ["-n", str(count), "--dist", "loadgroup"] if count > 1 else []


def _run(name: str, command: list[str]) -> bool:
    print(f"--- {name}: {' '.join(command[1:])}", flush=True)
    start = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode
    print(f"--- {name}: {'ok' if code == 0 else f'exit code {code}'}, {time.monotonic() - start:.0f} s", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
