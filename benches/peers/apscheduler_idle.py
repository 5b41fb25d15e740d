"""Processor and memory of APScheduler 3 with hourly no-op jobs, while nothing is due."""

import asyncio
import json
import sys
import time

from apscheduler.schedulers.asyncio import AsyncIOScheduler


async def main(jobs: int, watch: int) -> None:
    async def no_op() -> None:
        pass

    scheduler = AsyncIOScheduler(timezone="Europe/Berlin")
    for index in range(jobs):
        scheduler.add_job(no_op, "cron", minute=index % 60, id=str(index))
    scheduler.start()
    into_minute = time.time() % 60
    await asyncio.sleep((70 if into_minute > 10 else 10) - into_minute)
    before = time.process_time()
    await asyncio.sleep(watch)
    spent = time.process_time() - before
    with open("/proc/self/status", encoding="ascii") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    print(json.dumps({"cpu_percent": spent / watch * 100, "resident_mb": resident * 1.024 / 1000}))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
