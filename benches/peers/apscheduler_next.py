"""Next fire times a second, walked from fire to fire, in APScheduler 3."""

import json
import sys
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

ZONE = ZoneInfo("Europe/Berlin")
WALK = 0.6


def rate(pattern: str) -> float:
    trigger = CronTrigger.from_crontab(pattern, timezone=ZONE)
    start = datetime(2026, 1, 1, tzinfo=ZONE)
    end = datetime(2090, 1, 1, tzinfo=ZONE)
    at, steps, begun = start, 0, time.perf_counter()
    while time.perf_counter() - begun < WALK:
        at = trigger.get_next_fire_time(at, at + timedelta(microseconds=1))
        if at is None or at > end:
            at = start
        steps += 1
    return steps / (time.perf_counter() - begun)


print(json.dumps({pattern: rate(pattern) for pattern in sys.argv[1:]}))
