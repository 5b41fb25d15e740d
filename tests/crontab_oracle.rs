//! Imported jobs fire when cron would have fired: cronsim's next fires are ours.

#![cfg(feature = "servers")]
#![allow(clippy::unwrap_used)]

mod common;

use std::{env, process::Command};

use common::Tree;

/// Fires that are compared.
const FIRES: usize = 50;

const SCHEDULES: &[&str] = &[
    "*/5 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "15 14 1 * *",
    "0 22 * * 1-5",
    "23 0-20/2 * * *",
    "5 4 * * sun",
    "0 0 1,15 * 3",
    "0 9 1-7 * MON",
    "*/10 8-18 * * 1-5",
    "0 0 * 2 *",
    "59 23 31 12 *",
    "0 0 29 2 *",
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "7,37 */3 * jan-mar,oct *",
    "0 12 * * 7",
];

#[test]
fn imported_jobs_fire_as_cronsim_says() {
    let tree = Tree::new();
    let lines: String = SCHEDULES
        .iter()
        .enumerate()
        .map(|(index, schedule)| format!("{schedule} /opt/job{index}\n"))
        .collect();
    tree.write("crontab", &format!("CRON_TZ=Europe/Berlin\n{lines}"));
    tree.ok(&["import", "crontab", "crontab", "--out", "jobs.d"]);
    tree.write(
        "oracle.py",
        "import json, sys\nfrom datetime import datetime\nfrom zoneinfo import ZoneInfo\nfrom itertools import islice\nfrom cronsim import CronSim\n\
         start = datetime(2026, 1, 5, 0, 0, 30, tzinfo=ZoneInfo('Europe/Berlin'))\n\
         names = {'@hourly': '0 * * * *', '@daily': '0 0 * * *', '@weekly': '0 0 * * 0', '@monthly': '0 0 1 * *', '@yearly': '0 0 1 1 *'}\n\
         out = [[t.isoformat() for t in islice(CronSim(names.get(e, e), start), int(sys.argv[1]))] for e in json.loads(sys.argv[2])]\n\
         print(json.dumps(out))\n",
    );
    let output = Command::new(env::var("TEST_PYTHON").unwrap())
        .arg(tree.path("oracle.py"))
        .args([FIRES.to_string(), serde_json::to_string(SCHEDULES).unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let oracle: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
    for (index, expected) in oracle.iter().enumerate() {
        let job = format!("job{index}");
        let json =
            tree.json(&["next", &job, "--after", "2026-01-04T23:00:30Z", "-n", &FIRES.to_string(), "--json"]);
        let fires: Vec<&str> = json["fires"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fire| fire["fire_time"].as_str().unwrap())
            .collect();
        // Ours end with the year 2199.
        let expected: Vec<&String> = expected.iter().filter(|time| *time < &"2200".to_owned()).collect();
        assert_eq!(fires, expected, "{}", SCHEDULES[index]);
        assert!(!fires.is_empty() && json["timezone"] == "Europe/Berlin");
    }
}
