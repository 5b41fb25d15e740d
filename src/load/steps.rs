//! Whether the steps of a DAG fit together.

use std::collections::BTreeMap;

use super::fault::Fault;
use crate::manifest::{
    code::Code,
    nearest::nearest,
    spec::{Action, StepSpec},
};

/// Most circles that are told of one job: with more, its steps want to be thought over anyway.
const CIRCLES_MAX: usize = 10;

/// Checks ids, `needs` and circles.
pub(super) fn check(action: &Action, faults: &mut Vec<Fault>) {
    let Action::Steps(steps) = action else { return };
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        if let Some(first) = known.get(step.id.as_str()) {
            faults.push(
                Fault::new(
                    Code::DuplicateStep,
                    format!("/run/steps/{index}/id"),
                    format!("there is already a step `{}`", step.id),
                )
                .label("given again")
                .related(format!("/run/steps/{first}/id"), "first given here")
                .help("give each step an id of its own"),
            );
        } else {
            known.insert(&step.id, index);
        }
    }
    for (index, step) in steps.iter().enumerate() {
        for (at, need) in step.needs.iter().enumerate() {
            if !known.contains_key(need.as_str()) {
                faults.push(
                    Fault::new(
                        Code::UnknownStep,
                        format!("/run/steps/{index}/needs/{at}"),
                        format!("there is no step `{need}`"),
                    )
                    .label("no such step")
                    .help(suggestion(need, &known)),
                );
            }
        }
    }
    for circle in circles(steps, &known) {
        let ids: Vec<&str> = circle.iter().map(|&index| steps[index].id.as_str()).collect();
        let (first, last) = (circle[0], ids[0]);
        faults.push(
            Fault::new(
                Code::StepCycle,
                format!("/run/steps/{first}/needs"),
                format!("steps need each other in a circle: {} -> {last}", ids.join(" -> ")),
            )
            .label("the circle begins here")
            .help("take one of these `needs` out"),
        );
    }
}

fn suggestion(need: &str, known: &BTreeMap<&str, usize>) -> String {
    match nearest(need, known.keys().copied()) {
        Some(id) => format!("did you mean `{id}`?"),
        None => {
            let ids: Vec<&str> = known.keys().copied().collect();
            format!("the steps are: {}", ids.join(", "))
        }
    }
}

/// Circles of steps that need each other, each step needing the next one. Every circle has a `needs`
/// that no other one in the answer has, and with those gone there is none left, save past
/// [`CIRCLES_MAX`].
fn circles(steps: &[StepSpec], known: &BTreeMap<&str, usize>) -> Vec<Vec<usize>> {
    let mut needs: Vec<Vec<usize>> = steps
        .iter()
        .map(|step| step.needs.iter().filter_map(|need| known.get(need.as_str()).copied()).collect())
        .collect();
    let mut found = Vec::new();
    while found.len() < CIRCLES_MAX
        && let Some(circle) = circle(&needs)
    {
        if let Some((last, first)) = circle.last().zip(circle.first()) {
            needs[*last].retain(|need| need != first);
        }
        found.push(circle);
    }
    found
}

fn circle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut done = vec![false; needs.len()];
    // Steps whose needs are all done are done; what is left over lies on a circle or behind one.
    loop {
        let ready =
            (0..needs.len()).find(|&index| !done[index] && needs[index].iter().all(|&need| done[need]));
        match ready {
            Some(index) => done[index] = true,
            None => break,
        }
    }
    let mut path = vec![done.iter().position(|done| !done)?];
    loop {
        let here = *path.last()?;
        let next = needs[here].iter().copied().find(|&need| !done[need])?;
        if let Some(start) = path.iter().position(|&index| index == next) {
            return Some(path.split_off(start));
        }
        path.push(next);
    }
}
