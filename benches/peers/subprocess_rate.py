"""Programs a second through Python's subprocess, on threads."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

count, at_once = int(sys.argv[1]), int(sys.argv[2])


def one(_: int) -> None:
    subprocess.run(["/bin/true"], stdin=subprocess.DEVNULL, capture_output=True, check=True)


begun = time.perf_counter()
with ThreadPoolExecutor(at_once) as pool:
    list(pool.map(one, range(count)))
print(json.dumps({"rate": count / (time.perf_counter() - begun)}))
