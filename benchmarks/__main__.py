"""`python -m benchmarks [engine|service] [--quick]`: the benchmarks as Markdown on standard output."""

import argparse
import sys
from pathlib import Path

from benchmarks import machine, service

ROOT = Path(__file__).parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure; print Markdown.")
    parser.add_argument("what", nargs="?", choices=("engine", "service"), help="only this one of the two")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: under three minutes")
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        choices=service.PARTS,
        metavar="PART",
        help=f"of the service: {', '.join(service.PARTS)}",
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=ROOT / ".venv-bench/bin/python",
        metavar="PYTHON",
        help="the interpreter that has scikit-learn, PyTorch and JAX (default: %(default)s)",
    )
    given = parser.parse_args()
    same = True
    print(f"# Benchmarks\n\n{machine.describe()} `make bench` prints this page anew.\n", flush=True)
    if given.what != "service":
        from benchmarks import engine

        text, same = engine.report(engine.measure(engine.QUICK if given.quick else engine.FULL, given.peers.absolute()))
        print(text, flush=True)
    if given.what != "engine":
        print(service.measure(service.QUICK if given.quick else service.FULL, given.only), flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
