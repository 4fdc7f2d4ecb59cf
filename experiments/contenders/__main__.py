"""The worker's side: answers each line with a line of JSON.

python -m experiments.contenders NAME SWEEP
"""

from __future__ import annotations

import json
import sys
import time

from experiments.contenders import WORKERS
from experiments.contenders.sweep import Sweep, peak_mib

if __name__ == "__main__":
    name, given = sys.argv[1], json.loads(sys.argv[2])
    run, about = WORKERS[name](Sweep(**given | {"hidden": tuple(given["hidden"])}))
    for _ in sys.stdin:
        started = time.perf_counter()
        loss = run()
        seconds = time.perf_counter() - started
        said = {"seconds": seconds, "loss": loss, "peak_mib": peak_mib(), **about()}
        print(json.dumps(said), flush=True)
