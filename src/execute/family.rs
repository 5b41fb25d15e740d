//! The processes of one action, wherever they went.
//!
//! A program's children leave its process group (`setsid`), its environment (`env -i`) or its
//! line of descent (when a parent ends, the daemon inherits its children). Each way leaves some
//! trace: the family is found by all of them together.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rustix::process::{Pid, Signal, getpid, kill_process_group, test_kill_process_group};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    census::{self, Process},
    leftover::{Mark, is_marked},
};

/// How often what is left is killed before it is given up: each time, something may have been
/// started that was not seen.
const SWEEPS_MAX: u32 = 20;

/// Time between two sweeps.
const SWEEP_WAIT: Duration = Duration::from_millis(10);

/// The processes of one action that were seen so far.
#[derive(Debug)]
pub(super) struct Family {
    mark: Mark,
    /// The program's process group, and its own id.
    group: Pid,
    /// Inodes of the pipes that the action prints to.
    pipes: Vec<u64>,
    members: BTreeMap<i32, Process>,
    /// Sessions that members began.
    sessions: BTreeSet<i32>,
}

/// What tells by itself whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    /// It has the mark of the action.
    Mark,
    /// It has the mark of another action.
    OtherMark,
    /// It has no mark, and prints to the action's pipe.
    Pipe,
    Nothing,
}

/// The daemon itself.
#[derive(Debug, Clone, Copy)]
struct Own {
    pid: i32,
    /// 0 when it was begun outside of the container.
    session: i32,
}

impl Family {
    /// The family of the program that leads `group`; nobody was looked for yet.
    pub(super) fn new(mark: Mark, group: Pid, pipes: Vec<u64>) -> Self {
        Self { mark, group, pipes, members: BTreeMap::new(), sessions: BTreeSet::new() }
    }

    /// Looks for members. Those that were seen before stay.
    pub(super) async fn look(&mut self) {
        let (mark, pipes) = (self.mark.clone(), self.pipes.clone());
        // Many small files are read.
        let seen = spawn_blocking(move || seen(&mark, &pipes)).await.unwrap_or_default();
        let pid = getpid().as_raw_nonzero().get();
        // Not asked of the system: in a container it may be the session of nobody that is seen.
        let here = seen.iter().find(|(process, _)| process.pid == pid);
        let session = here.map_or(0, |(process, _)| process.session);
        self.grow(&seen, Own { pid, session });
    }

    /// Sends a signal to the group, and to the members outside of it.
    pub(super) fn signal(&self, signal: Signal) {
        let group = self.group.as_raw_nonzero().get();
        // What has ended meanwhile is no error, and what may not be signalled is not ours.
        let _ = kill_process_group(self.group, signal);
        for member in self.members.values().filter(|member| member.group != group) {
            let _ = member.signal(signal);
        }
    }

    /// Members that still run, as far as they are known; looked for anew when the group is not
    /// empty.
    pub(super) async fn living(&mut self) -> Vec<&Process> {
        let is_known = self.members.values().any(Process::is_living);
        if !is_known && !self.is_group_empty() {
            self.look().await;
        }
        self.members.values().filter(|member| member.is_living()).collect()
    }

    /// Whether nothing is left of the group, zombies included: one system call.
    pub(super) fn is_group_empty(&self) -> bool {
        test_kill_process_group(self.group).is_err()
    }

    /// Kills all that is left.
    pub(super) async fn sweep(&mut self) {
        for _ in 0..SWEEPS_MAX {
            self.look().await;
            let mut is_clean = true;
            for member in self.members.values().filter(|member| member.is_living()) {
                is_clean &= member.signal(Signal::KILL).is_err();
            }
            if is_clean {
                return;
            }
            sleep(SWEEP_WAIT).await;
        }
    }

    fn grow(&mut self, seen: &[(Process, Trace)], own: Own) {
        let group = self.group.as_raw_nonzero().get();
        let descendants = descendants(seen, own.pid);
        loop {
            let before = self.members.len();
            for (process, trace) in seen.iter().filter(|(process, _)| process.pid != own.pid) {
                let is_child = self.members.contains_key(&process.parent);
                let is_here = process.group == group || self.sessions.contains(&process.session);
                let is_member = match trace {
                    Trace::Mark => true,
                    // A group's id may have been given again meanwhile.
                    Trace::OtherMark => is_child,
                    Trace::Pipe => is_child || is_here || descendants.contains(&process.pid),
                    Trace::Nothing => is_child || is_here,
                };
                if !is_member || process.is_zombie {
                    continue;
                }
                self.members.insert(process.pid, process.clone());
                // A session that is not the daemon's was begun by a descendant. One that does not
                // descend from the daemon may sit in the session of a person.
                if descendants.contains(&process.pid) && process.session != own.session {
                    self.sessions.insert(process.session);
                }
            }
            if self.members.len() == before {
                return;
            }
        }
    }
}

fn seen(mark: &Mark, pipes: &[u64]) -> Vec<(Process, Trace)> {
    let trace = |process: &Process| {
        let environment = process.environment();
        if mark.is_in(&environment) {
            Trace::Mark
        } else if is_marked(&environment) {
            Trace::OtherMark
        } else if process.prints_to(pipes) {
            Trace::Pipe
        } else {
            Trace::Nothing
        }
    };
    let traced = census::all().into_iter().map(|process| {
        let trace = trace(&process);
        (process, trace)
    });
    traced.collect()
}

/// The processes that descend from one, as far as their parents live.
fn descendants(seen: &[(Process, Trace)], from: i32) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (process, _) in seen {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The daemon is 2 in session 1; the program is 10. Each word is `pid<parent`, then `/group` and
    /// `@session` where they are not those of the daemon, then `!` for the mark of the action, `?`
    /// for that of another, `|` for its pipe.
    fn process(word: &str) -> (Process, Trace) {
        let number = |after: char| {
            let from = &word[word.find(after)? + 1..];
            let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
            from[..end].parse().ok()
        };
        let trace = match word.chars().last() {
            Some('!') => Trace::Mark,
            Some('?') => Trace::OtherMark,
            Some('|') => Trace::Pipe,
            _ => Trace::Nothing,
        };
        let process = Process {
            pid: word.split('<').next().unwrap().parse().unwrap(),
            parent: number('<').unwrap(),
            group: number('/').unwrap_or(2),
            session: number('@').unwrap_or(1),
            started: 1,
            is_zombie: false,
            name: String::new(),
        };
        (process, trace)
    }

    /// `looks` come one after the other.
    #[track_caller]
    fn check(looks: &[&str], expected: &[i32]) {
        let pid = |raw| Pid::from_raw(raw).unwrap();
        let run_id = crate::run::RunId(uuid::Uuid::nil());
        let mut family = Family::new(Mark::of_run(run_id), pid(10), Vec::new());
        for look in looks {
            let seen: Vec<_> = look.split(' ').map(process).collect();
            family.grow(&seen, Own { pid: 2, session: 1 });
        }
        assert_eq!(family.members.keys().copied().collect::<Vec<_>>(), expected, "{looks:?}");
    }

    /// F17.
    #[test]
    #[rustfmt::skip]
    fn family_table() {
        // The group, the line of descent, the mark, the pipe.
        check(&["2<1 10<2/10! 11<10/10! 20<2/20?"],                          &[10, 11]);
        check(&["2<1 10<2/10! 11<10/11@11 12<11/11@11 20<2/20?"],            &[10, 11, 12]);
        check(&["2<1 10<2/10! 11<2/11@11! 12<1/12@12!"],                     &[10, 11, 12]);
        check(&["2<1 10<2/10! 11<2/11@11| 12<1/12@12|"],                     &[10, 11]);
        // A session is known by one of its members, and remembered.
        check(&["2<1 10<2/10! 11<10/11@11", "2<1 12<2/12@11"],               &[10, 11, 12]);
        // A session of a person, who started the daemon before this one, is left alone.
        check(&["2<1 5<1/5@5 11<5/11@5! 12<5/12@5"],                         &[11]);
        // A group's id that was given again.
        check(&["2<1 10<2/10?"],                                             &[]);
        // What a job starts as a run of its own is its descendant all the same.
        check(&["2<1 10<2/10! 11<10/10! 12<11/12?"],                         &[10, 11, 12]);
    }
}
