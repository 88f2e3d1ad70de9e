"""One contestant in a process of its own: `python -m benchmarks.contestant NAME`.

It says and hears one JSON object a line. The first line that it hears is the number of a workload; it answers when it is
ready for it. Every further line is a number of epochs, which it trains from the first weights,
until the end:

    {"workload": 1}                   {"versions": {"JAX": "…"}, "compile_s": 1.9, "losses": [0.5, 0.4]}
    {"epochs": 3}                     {"wall_s": 0.2, "cpu_s": 0.2}
    {"end": true}                     {"peak_bytes": 123456789}

`losses` are those of the check: the first epochs from the given weights over the rows **in their order**, where every
contestant must come to the same numbers.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import Contestant
from benchmarks.workloads import WORKLOADS

CHECK_EPOCHS = 3


def main() -> None:
    # A library that prints must not break the protocol.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")

    contestant: Contestant
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "workload" in request:
                contestant, ready = _prepare(sys.argv[1], request["workload"])
                answer(**ready)
            elif "epochs" in request:
                answer(**_timed(contestant, request["epochs"]))
            else:
                answer(peak_bytes=_peak_bytes())
                return
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}".splitlines()[0][:200])
            raise


def _prepare(name: str, number: int) -> tuple[Contestant, dict[str, Any]]:
    contestant: Contestant = importlib.import_module(f"benchmarks.peers.{name}").prepare(WORKLOADS[number])
    begin = time.perf_counter()
    contestant.compile()
    compiled = time.perf_counter()
    contestant.restart()
    losses = contestant.run(CHECK_EPOCHS, shuffle=False)
    contestant.run(1, shuffle=True)
    return contestant, {
        "versions": contestant.versions,
        "compile_s": compiled - begin,
        "losses": losses,
    }


def _peak_bytes() -> int:
    """The largest resident size so far; `getrusage` would count that of the parent before the fork."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def _timed(contestant: Contestant, epochs: int) -> dict[str, float]:
    contestant.restart()
    wall, cpu = time.perf_counter(), time.process_time()
    contestant.run(epochs, shuffle=True)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    main()
