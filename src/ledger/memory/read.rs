//! What each look reads of a ledger in memory.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Job, Memory, rows::Run};
use crate::{
    ledger::{
        record::{LastRun, OpenRun, PauseRow, PlacementRow, Range, RunQuery, RunRow},
        records::{Read, Result},
    },
    manifest::name::JobName,
    run::RunId,
};

impl Read for Memory {
    fn placements(&self) -> Result<Vec<PlacementRow>> {
        let of_job = |job: &Job| {
            let at = job.cursor;
            job.placements
                .values()
                .map(move |row| PlacementRow { cursor: at, ..row.clone() })
                .collect::<Vec<_>>()
        };
        let mut placements: Vec<PlacementRow> = self.jobs.values().flat_map(of_job).collect();
        placements.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Ok(placements)
    }

    fn unfinished(&self) -> Result<Vec<OpenRun>> {
        let open = self.rows.iter().filter(|(_, run)| run.is_open()).map(|(_, run)| OpenRun {
            id: run.id,
            job: run.job.clone(),
            fire_time: run.fire_time,
            cause: run.cause,
            params: run.params.clone(),
            reached: run.reached(),
            route: run.route(),
            stage: run.stage(),
        });
        Ok(open.collect())
    }

    fn cursor(&self, job: &JobName) -> Result<Option<Timestamp>> {
        Ok(self.jobs.get(job).map(|job| job.cursor))
    }

    fn pruned_to(&self, job: &JobName) -> Result<Option<Timestamp>> {
        Ok(self.jobs.get(job).and_then(|job| job.pruned_to))
    }

    fn ranges_past(&self, job: &JobName, at: Timestamp) -> Result<Vec<Range>> {
        let rows = self.jobs.get(job).into_iter().flat_map(|job| &job.rows);
        let ranges = rows
            .filter_map(|number| self.rows.get(*number))
            .filter(|run| run.is_skip() && run.count > 1 && run.last_fire_time > at)
            .map(|run| Range { id: run.id, first: run.fire_time });
        Ok(ranges.collect())
    }

    fn recorded_boot(&self) -> Result<Option<String>> {
        Ok(self.boot.as_ref().map(|boot| boot.id.clone()))
    }

    fn waiting_at_boot(&self, boot_id: &str) -> Result<Vec<JobName>> {
        let boot = self.boot.as_ref().filter(|boot| boot.id == boot_id);
        Ok(boot.map(|boot| boot.waiting.iter().cloned().collect()).unwrap_or_default())
    }

    fn paused(&self) -> Result<Vec<PauseRow>> {
        Ok(self.jobs.values().filter_map(|job| job.pause.clone()).collect())
    }

    fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>> {
        let asked = |run: &&Run| {
            query.before.is_none_or(|before| run.fire_time < before)
                && query.backend.as_deref().is_none_or(|backend| run.is_over(backend))
                && query.worker.as_deref().is_none_or(|worker| run.is_of_worker(worker))
        };
        let rows = match &query.job {
            None => self
                .rows
                .iter()
                .rev()
                .map(|(_, run)| run)
                .filter(asked)
                .take(query.limit)
                .map(Run::row)
                .collect(),
            Some(job) => {
                let rows = self.jobs.get(job).into_iter().flat_map(|job| job.rows.iter().rev());
                let runs = rows.filter_map(|number| self.rows.get(*number));
                runs.filter(asked).take(query.limit).map(Run::row).collect()
            }
        };
        Ok(rows)
    }

    fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        Ok(self.rows.of_id(id).map(Run::row))
    }

    fn known(&self, runs: &BTreeSet<RunId>) -> Result<BTreeSet<RunId>> {
        Ok(runs.iter().copied().filter(|run| self.rows.of_id(*run).is_some()).collect())
    }

    fn last_runs(&self) -> Result<BTreeMap<JobName, LastRun>> {
        let last = |job: &Job| {
            let run = job
                .rows
                .iter()
                .rev()
                .filter_map(|number| self.rows.get(*number))
                .find(|run| !run.is_skip())?;
            let outcome = run.end.as_ref().map(|(outcome, _)| outcome.clone());
            Some(LastRun { id: run.id, fire_time: run.fire_time, outcome })
        };
        Ok(self.jobs.iter().filter_map(|(name, job)| Some((name.clone(), last(job)?))).collect())
    }
}
