"""Writes vectors for tests/schedule_oracle.rs: cron expressions with the fires of croniter and cronsim.

    python tests/oracle/vectors.py > tests/oracle/vectors.tsv

One line for each vector, with tabs between: expression, `any` or `all` (whether a day has to match
one day field or both), zone, start in seconds of the epoch, what croniter says, what cronsim says.
What a library says is the time from the start to the first fire and from each fire to the next, in
seconds; `=` for the same as croniter; `refused`; `never`; `-` when it was not asked.

Fires within a day of a change of the zone's clock are left out: there each program goes by rules
of its own, and tests/schedule_zones.rs has an oracle for them. The same input gives the same
output: the numbers come from a seed.
"""

import random
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter
from cronsim import CronSim, CronSimError

SEED = 2026
# Vectors that are made up, beside those of SPELLED.
COUNT = 2600
# Fires that are kept of each.
FIRES = 8
# Rules of zones further ahead than this are guesses, and ours end with 2199.
END = datetime(2100, 1, 1, tzinfo=timezone.utc).timestamp()
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
DAY = 86_400

# Forms on which the programs are known to differ, or that chance would not make often enough.
SPELLED = """
@hourly / @daily / @midnight / @weekly / @monthly / @yearly / @annually
*/60 * * * * / 0 */24 * * * / 0-59/61 * * * * / 0 0 */32 * * / 0 0 * */13 * / 0 0 * * */7 / 50/15 * * * *
0 0 L-3 * * / 0 0 L-1 * * / 0 0 l * * / 0 0 LW * * / 0 0 L,LW * * / 0 0 1,LW * * / 0 0 15W,L * *
0 0 * * L5 / 0 0 * * L1,L3 / 0 0 * * l5 / 0 0 * * L7 / 0 0 * * L
0 0 31 2 * / 0 0 30 feb * / 0 0 31 4,6,9,11 * / 0 0 29 2 1 / 0 0 29 2 */7 / 0 0 29 2 *
0 0 0 1 1 * 2027 / 0 0 12 * 6 5 2026-2029 / 30 15 10 1 */3 * 2026/2 / 0 0 0 1 1 * 2020 / 0 0 0 1 1 * 1969 / 0 0 0 1 1 * 2300
0 24 * * * / 60 * * * * / 0 0 0 * * / 0 0 32 * * / 0 0 * 13 * / 0 0 * * 8 / 0 0 * * mon-8 / * * * *
0 0 1,,2 * * / 0 0 , * * / 0 0 1- * * / 0 0 -1 * * / */0 * * * * / 0 0 1/ * * / a 0 * * * / 0 0 * foo *
0 0 * * 1#0 / 0 0 * * 1#6 / 0 0 * * 1#5 / 0 0 * * mon#2 / 0 0 * * 7#1 / 0 0 * * 1#2,1#4 / 0 0 * * 1#1,3
0 0 1#2 * * / 0 0 15L * * / 0 15W * * * / 0 0 * 5L * / 0 0 10-15W * *
0 0 31W * * / 0 0 1W * * / 0 22-4/5 * * * / 58-20/7 * * * * / 0 0 * 11-6/2 * / 0 0 * * 5-3/2 / 0 0 28-9/3 * *
0 0 ? * ? / 0 0 ?/2 * * / ? 0 * * * / 0 ? * * *
0 0 * JUL * / 0 0 1 jul-12 * / 0 0 1 5-JUL * / 0 0 1 Jul/2 * / 0 0 1 jul-sep * / 0 0 * * Mon-Fri
59-1 * * * * / 0 22-4/3 * * * / 0 0 28-3 * * / 0 0 * 11-2 * / 0 0 * * 6-1 / 0 0 * * 7-2 / 0 0 * * sat-sun / 0 0 * * sun-sat
0 0 * * fri-fri / 15-15 * * * * / 0 0 10-10 * * / 0 9-9/1 * * * / 0 0 * 3-3/2 * / 0 0 * * 1-1/1
0 0 */1 * 1 / 0 0 1 * */1
0 0 * * 0-7 / 0 0 * * 1-7 / 0 0 * * 0,7 / 0 0 * * 7/2 / 0 0 * * 0-7/2 / 0 0 * * 5/2
""".replace("\n", " / ")


class Chance:
    """Choices from a seed. Only random() is promised to stay the same over versions of Python."""

    def __init__(self, seed):
        self.source = random.Random(seed)

    def below(self, end):
        return int(self.source.random() * end)

    def between(self, first, last):
        return first + self.below(last - first + 1)

    def one_of(self, choices):
        return choices[self.below(len(choices))]

    def happens(self, share):
        return self.source.random() < share


MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
WEEKDAYS = "sun mon tue wed thu fri sat".split()
# Name, first and last value, names, share of fields that are a plain star.
SECOND = (0, 59, [], 0.1)
MINUTE = (0, 59, [], 0.15)
HOUR = (0, 23, [], 0.3)
MONTH = (1, 12, MONTHS, 0.7)
DAY_OF_MONTH = (1, 31, [], 0.4)
DAY_OF_WEEK = (0, 7, WEEKDAYS, 0.4)


def value(chance, field, number):
    first, _, names, _ = field
    if names and number - first < len(names) and chance.happens(0.4):
        name = names[number - first]
        return chance.one_of([name, name.upper(), name.capitalize()])
    return str(number)


def item(chance, field):
    first, last, _, _ = field
    shape = chance.below(10)
    if shape < 4:
        return value(chance, field, chance.between(first, last))
    if shape < 7:
        low = chance.between(first, last - 2)
        high = chance.between(low + 1, last)
        if chance.happens(0.05):
            return f"{value(chance, field, high)}-{value(chance, field, low)}"
        step = f"/{chance.between(1, high - low)}" if chance.happens(0.4) else ""
        return f"{value(chance, field, low)}-{value(chance, field, high)}{step}"
    if shape < 8:
        low = chance.between(first, last - 1)
        return f"{value(chance, field, low)}/{chance.between(1, last - low)}"
    return f"*/{chance.between(2, (last - first) // 2)}"


def plain(chance, field):
    if chance.happens(field[3]):
        return "*"
    count = chance.one_of([1, 1, 1, 1, 2, 2, 3])
    return ",".join(item(chance, field) for _ in range(count))


def day_of_month(chance):
    shape = chance.below(12)
    if shape == 0:
        return "L"
    if shape == 1:
        return chance.one_of(["LW", "1,L", f"{chance.between(1, 27)},L", "?"])
    if shape == 2:
        return f"{chance.between(1, 28)}W"
    return plain(chance, DAY_OF_MONTH)


def day_of_week(chance):
    shape = chance.below(12)
    if shape == 0:
        return f"{value(chance, DAY_OF_WEEK, chance.between(0, 7))}#{chance.between(1, 5)}"
    if shape == 1:
        return f"{chance.between(0, 7)}L"
    if shape == 2:
        return chance.one_of(["?", "fri-mon", "5-7", f"{chance.between(0, 6)}#1,{chance.between(0, 6)}#3"])
    return plain(chance, DAY_OF_WEEK)


def expression(chance):
    fields = [plain(chance, MINUTE), plain(chance, HOUR)]
    fields += [day_of_month(chance), plain(chance, MONTH), day_of_week(chance)]
    if chance.happens(0.2):
        fields.insert(0, plain(chance, SECOND))
    return " ".join(fields)


def near_a_change(second, zone):
    """Whether the zone's clock changes within a day before or after."""
    around = (datetime.fromtimestamp(second + shift, zone).utcoffset() for shift in (-DAY, DAY))
    return len(set(around)) > 1


def fires(following, start, zone):
    """What a library says, from a function that gives its next fire and raises when there is none."""
    found = []
    last = start
    while len(found) < FIRES:
        second = following()
        if second is None or second >= END:
            break
        if near_a_change(second, zone):
            continue
        found.append(second - last)
        last = second
    return " ".join(map(str, found)) or "never"


def of_croniter(text, days, zone, start):
    six = len(text.split()) > 5
    try:
        times = croniter(
            text,
            datetime.fromtimestamp(start, zone),
            day_or=days == "any",
            second_at_beginning=six,
            max_years_between_matches=100,
        )
    except (CroniterBadCronError, ValueError):
        return "refused"

    def following():
        try:
            return round(times.get_next(float))
        except CroniterBadDateError:
            return None

    return fires(following, start, zone)


def of_cronsim(text, days, zone, start):
    if days == "all":
        return "-"
    try:
        times = CronSim(text, datetime.fromtimestamp(start, zone))
    except CronSimError:
        return "refused"

    def following():
        found = next(times, None)
        return None if found is None else round(found.timestamp())

    return fires(following, start, zone)


def vectors():
    chance = Chance(SEED)
    seen = set()
    for text in SPELLED.split(" / "):
        if text.strip():
            yield text.strip(), "any", "UTC"
    while len(seen) < COUNT:
        text = expression(chance)
        days = "all" if chance.happens(0.12) else "any"
        if (text, days) not in seen:
            seen.add((text, days))
            yield text, days, chance.one_of(ZONES)


def main():
    chance = Chance(SEED + 1)
    for text, days, name in vectors():
        zone = ZoneInfo(name)
        day = datetime(2022, 1, 1, tzinfo=timezone.utc) + timedelta(days=chance.below(4 * 365))
        start = round(day.timestamp()) + chance.below(DAY)
        theirs = of_croniter(text, days, zone, start)
        others = of_cronsim(text, days, zone, start)
        if others == theirs:
            others = "="
        sys.stdout.write("\t".join([text, days, name, str(start), theirs, others]) + "\n")


if __name__ == "__main__":
    main()
