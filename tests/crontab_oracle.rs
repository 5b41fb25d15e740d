//! Imported jobs fire when cron would have fired: cronsim's next fires are ours.
//!
//! Every expression is imported in every place, and its fires are compared from the day before each
//! change of the clock. What is meant to differ is in [`INTENDED`], and differs in those nights only.

#![cfg(feature = "servers")]
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeSet, env, fmt::Write as _, process::Command, thread};

use common::Tree;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Fires that are compared.
const FIRES: usize = 50;

/// Where an expression stands, and in which zone it is read.
struct Place {
    /// The lines before it.
    head: &'static str,
    /// The column between it and its command.
    column: &'static str,
    arguments: &'static [&'static str],
    zone: &'static str,
    /// The instants at which the clock changes.
    changes: &'static [&'static str],
}

/// All clocks change by an hour: cronsim steps by whole hours, and after Lord Howe's half hour misses
/// the first fire of `0 */6 * * *`. The properties of `schedule` cover such zones.
const PLACES: &[Place] = &[
    Place {
        head: "TZ=Asia/Tokyo\nCRON_TZ=Asia/Kolkata\n@reboot /opt/up\nCRON_TZ=Europe/Berlin\n",
        column: "",
        arguments: &[],
        zone: "Europe/Berlin",
        changes: &["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"],
    },
    Place {
        head: "@reboot /opt/up\n",
        column: "",
        arguments: &["--timezone", "America/New_York"],
        zone: "America/New_York",
        changes: &["2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"],
    },
    Place {
        head: "SHELL=/bin/sh\nPATH=/usr/bin:/bin\nCRON_TZ=Europe/Berlin\n@daily root /opt/up\nCRON_TZ=\n",
        column: "root\t",
        arguments: &["--system", "--timezone", "America/Santiago"],
        zone: "America/Santiago",
        changes: &["2026-04-05T03:00:00Z", "2026-09-06T04:00:00Z"],
    },
    Place {
        head: "",
        column: "www-data ",
        arguments: &["--system", "--timezone", "Asia/Kolkata"],
        zone: "Asia/Kolkata",
        changes: &["2026-01-05T00:00:00Z"],
    },
    Place {
        head: "CRON_TZ=Asia/Tokyo\n@reboot /opt/up\nCRON_TZ=\n",
        column: "",
        arguments: &[],
        zone: "UTC",
        changes: &["2028-02-28T00:00:00Z"],
    },
];

#[rustfmt::skip]
const SCHEDULES: &[&str] = &[
    "* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "15 14 1 * *", "0 22 * * 1-5", "23 0-20/2 * * *",
    "5 4 * * sun", "0 0 1,15 * 3", "0 9 1-7 * MON", "*/10 8-18 * * 1-5", "0 0 * 2 *", "59 23 31 12 *",
    "0 0 29 2 *", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually",
    "7,37 */3 * jan-mar,oct *", "0 12 * * 7", "0 12 * * 0", "0 12 * * 0,7", "0 0 * * *", "0 1 * * *", "0 2 * * *",
    "0 3 * * *", "59 1 * * *", "1 3 * * *", "30 1,2,3 * * *", "0,30 1-3 * * *", "15 1-3 * * *", "30 0 * * *",
    "30 23 * * *", "0 0 31 * *", "0 0 30 4,6,9,11 *", "0 6 * * mon,wed,fri", "0 6 * * Mon-Fri", "10-50/10 * * * *",
    "1-59/2 * * * *", "0 */6 * * *", "0 */5 * * *", "30 */2 * * *", "*/30 1-3 * * *", "*/15 2 * * *", "* 2 * * *",
    "*/7 * * * *", "0 0-23 * * *", "5,10,15 4 * 1-6 *", "0 8 */2 * *", "0 8 */2 * 1", "0 8 1-31/2 * *",
    "0 8 13 * 5", "0 8 13 * FRI", "0 8 * * 5", "0 8 * 7 2-4", "0 8 1 1 *", "0 4 8-14 * *", "0 4 8-14 * 6",
    "17 6 * * 7", "47 6 * * 7", "52 6 1 * *", "25 6 * * *", "*/90 * * * *", "0 0 */40 * *", "0 0 */40 * 1",
    "0 */24 * * *", "0 0 * */13 *", "0 0 * * */7",
];

/// What differs in the nights when the clock changes, and why.
#[rustfmt::skip]
const INTENDED: &[(&str, &str)] = &[
    ("30 */2 * * *",  NAMES_HOURS),
    ("*/30 1-3 * * *", NAMES_HOURS),
    ("*/15 2 * * *",  NAMES_HOURS),
    ("0 */5 * * *",   NAMES_HOURS),
    ("0 */6 * * *",   NAMES_HOURS),
    ("0 */24 * * *",  NAMES_HOURS),
    ("0 0-23 * * *",  NAMES_EVERY_HOUR),
];

/// Cron takes a `*` at the beginning of the minute or the hour field to mean that the entry goes by
/// the new clock at once: it is not made up for, and runs in both passes. Here an entry that leaves
/// hours out is made up for once after the gap, and runs in the first pass only (docs/cron.md).
const NAMES_HOURS: &str = "a `*` stands first, and the hour field leaves hours out";

/// Cron takes a list of all hours for fixed times, and does not run the repeated hour; here an entry
/// that runs in every hour goes by elapsed time, however its hours are written.
const NAMES_EVERY_HOUR: &str = "no `*` stands first, and the hour field has every hour";

/// Half of the night around a change of the clock.
const NIGHT: SignedDuration = SignedDuration::from_hours(4);

const ORACLE: &str = r#"
import json, sys
from datetime import datetime
from zoneinfo import ZoneInfo
from itertools import islice
from cronsim import CronSim

names = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}
query = json.loads(sys.argv[1])

def fires(expression, zone, start):
    start = datetime.fromisoformat(start).astimezone(ZoneInfo(zone))
    return [int(t.timestamp()) for t in islice(CronSim(names.get(expression, expression), start), query["fires"])]

print(json.dumps([
    [[fires(e, p["zone"], s) for e in query["schedules"]] for s in p["starts"]] for p in query["places"]
]))
"#;

/// The day before the clock changes, not on a full minute.
fn start(change: &str) -> Timestamp {
    change.parse::<Timestamp>().unwrap() - SignedDuration::from_hours(26) + SignedDuration::from_secs(30)
}

/// The fires by cronsim: by place, change and expression.
fn oracle(tree: &Tree) -> Vec<Vec<Vec<Vec<i64>>>> {
    let places: Vec<Value> = PLACES
        .iter()
        .map(|place| {
            let starts: Vec<String> =
                place.changes.iter().map(|change| start(change).to_string().replace('Z', "+00:00")).collect();
            json!({"zone": place.zone, "starts": starts})
        })
        .collect();
    tree.write("oracle.py", ORACLE);
    let query = json!({"fires": FIRES, "schedules": SCHEDULES, "places": places});
    let output = Command::new(env::var("TEST_PYTHON").unwrap())
        .arg(tree.path("oracle.py"))
        .arg(query.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A tree with the jobs of one place: `job0`, `job1` and so on.
fn imported(place: &Place) -> Tree {
    let tree = Tree::new();
    let mut text = place.head.to_owned();
    for (index, schedule) in SCHEDULES.iter().enumerate() {
        writeln!(text, "{schedule} {}/opt/job{index}", place.column).unwrap();
    }
    tree.write("crontab", &text);
    let mut arguments = vec!["import", "crontab", "crontab", "--out", "jobs.d"];
    arguments.extend(place.arguments);
    let ran = tree.run(&arguments);
    let lost_expected = place.column.contains("www-data");
    assert_eq!(ran.code, Some(i32::from(lost_expected)), "{}", ran.stderr);
    tree
}

fn ours(tree: &Tree, job: &str, place: &Place, after: Timestamp) -> Vec<i64> {
    let next = tree.json(&["next", job, "--after", &after.to_string(), "-n", &FIRES.to_string(), "--json"]);
    assert_eq!(next["timezone"], place.zone, "{job}");
    let fires = next["fires"].as_array().unwrap();
    fires
        .iter()
        .map(|fire| fire["fire_time"].as_str().unwrap().parse::<Timestamp>().unwrap().as_second())
        .collect()
}

/// What came of the comparison in one place.
#[derive(Default)]
struct Compared {
    /// Expressions that differ, as [`INTENDED`] says they do.
    intended: BTreeSet<&'static str>,
    /// What differs, and is not meant to.
    wrong: String,
}

fn compare(place: &Place, oracle: Vec<Vec<Vec<i64>>>) -> Compared {
    let mut compared = Compared::default();
    let tree = imported(place);
    // Ours end with the year 2199.
    let end = "2200-01-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second();
    for (change, oracle) in place.changes.iter().zip(oracle) {
        let after = start(change);
        let change: Timestamp = change.parse().unwrap();
        let night = (change - NIGHT).as_second()..(change + NIGHT).as_second();
        for (index, (schedule, mut theirs)) in SCHEDULES.iter().zip(oracle).enumerate() {
            let mut ours = ours(&tree, &format!("job{index}"), place, after);
            assert!(!ours.is_empty(), "{schedule}");
            theirs.retain(|time| *time < end);
            if ours != theirs && INTENDED.iter().any(|(one, _)| one == schedule) {
                compared.intended.insert(schedule);
                let last = ours.last().min(theirs.last()).copied().unwrap_or_default();
                for fires in [&mut ours, &mut theirs] {
                    fires.retain(|time| *time <= last && !night.contains(time));
                }
            }
            if ours != theirs {
                let at = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
                let [ours, theirs] =
                    [ours, theirs].map(|fires| fires.get(at).map(|time| Timestamp::from_second(*time)));
                let zone = place.zone;
                writeln!(compared.wrong, "{schedule} in {zone} after {after}: {ours:?}, cronsim {theirs:?}")
                    .unwrap();
            }
        }
    }
    compared
}

#[test]
fn imported_jobs_fire_as_cronsim_says() {
    let oracle = oracle(&Tree::new());
    let compared: Vec<Compared> = thread::scope(|scope| {
        let threads: Vec<_> = PLACES
            .iter()
            .zip(oracle)
            .map(|(place, oracle)| scope.spawn(move || compare(place, oracle)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let wrong: String = compared.iter().map(|one| one.wrong.as_str()).collect();
    assert!(wrong.is_empty(), "{wrong}");
    let differ: BTreeSet<&str> = compared.into_iter().flat_map(|one| one.intended).collect();
    let intended: BTreeSet<&str> = INTENDED.iter().map(|(schedule, _)| *schedule).collect();
    assert_eq!(differ, intended, "what is listed as different is different");
}
