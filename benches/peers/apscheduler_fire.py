"""No-op jobs that are due in the same second: how late each starts, in APScheduler 3."""

import asyncio
import json
import sys
import time

from apscheduler.schedulers.asyncio import AsyncIOScheduler

EVERY = 10


async def main(jobs: int, fires: int) -> None:
    stamps: list[float] = []

    async def no_op() -> None:
        stamps.append(time.time())

    scheduler = AsyncIOScheduler(timezone="Europe/Berlin")
    for index in range(jobs):
        scheduler.add_job(no_op, "cron", second=f"*/{EVERY}", id=str(index), misfire_grace_time=None)
    scheduler.start()
    late = []
    first = (int(time.time()) // EVERY + 1) * EVERY
    for fire in range(fires):
        due = first + fire * EVERY
        await asyncio.sleep(due + 5 - time.time())
        late.append([(stamp - due) * 1000 for stamp in stamps if due <= stamp < due + EVERY])
    print(json.dumps({"fires": late}))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
