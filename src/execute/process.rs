//! One child process: its group, its output, its end.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    adoption::Started,
    family::Family,
    leftover::Mark,
    printed::{Printed, Streams},
    sink::Sink,
    step::Stop,
};
use crate::run::Outcome;

/// How long the pipe is read after the program has ended: a child that it left behind may keep
/// it open for ever.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// The rest of a line is waited for this long before its beginning is shown.
const LINE_WAIT: Duration = Duration::from_millis(100);

/// How soon processes that were told to end are looked at; then less and less often.
const LOOK: Duration = Duration::from_millis(10);

/// How often they are looked at in the end.
const LOOK_MAX: Duration = Duration::from_millis(100);

/// How often processes that a program left are looked at before they are told of.
const LEFT_LOOKS: u32 = 3;

/// Most processes that are named.
const NAMES_MAX: usize = 5;

/// A program with all that it gets.
#[derive(Debug)]
pub(super) struct Program {
    /// Absolute.
    pub(super) file: PathBuf,
    /// What it is called as, then its arguments.
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    /// All of its environment.
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: Option<PathBuf>,
}

/// A program that runs.
struct Running {
    child: Child,
    printed: Printed,
    family: Family,
    /// Keeps the child's status for us.
    _started: Started,
}

/// Whether somebody can still print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pipe {
    Open,
    Closed,
}

/// Runs a program to its end, or until it is stopped.
pub(super) async fn run(
    program: Program,
    mark: Mark,
    grace: Duration,
    stop: &mut Stop,
    sink: &mut Sink<'_>,
) -> Outcome {
    let mut running = match spawn(&program, mark, sink.streams()) {
        Ok(running) => running,
        Err(error) => return not_started(&program, &error, sink),
    };
    let outcome = match running.end(stop, sink).await {
        Ok(status) => {
            let closed = running.drain(sink, DRAIN_MAX).await;
            sink.end();
            running.tell_left(closed, sink).await;
            outcome(status)
        }
        Err(why) => {
            running.stop(grace, sink).await;
            running.drain(sink, LOOK).await;
            why
        }
    };
    sink.end();
    outcome
}

fn spawn(program: &Program, mark: Mark, streams: Streams) -> io::Result<Running> {
    let (printed, writers) = Printed::new(streams)?;
    let mut command = Command::new(&program.file);
    command
        .arg0(&program.name)
        .args(&program.arguments)
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writers.out)
        .stderr(writers.err)
        .process_group(0);
    if let Some(directory) = &program.directory {
        command.current_dir(directory);
    }
    let child = command.spawn()?;
    // Our copies of the writing ends go with the command, so that its end is seen.
    drop(command);
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let group = group.ok_or_else(|| io::Error::other("the process has no id"))?;
    let family = Family::new(mark, group, printed.inodes.clone());
    Ok(Running { child, printed, family, _started: Started::new(group) })
}

fn not_started(program: &Program, error: &io::Error, sink: &mut Sink<'_>) -> Outcome {
    let reason = match (&program.directory, error.kind()) {
        (Some(directory), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) if !directory.is_dir() => {
            format!("there is no directory `{}` to run in", directory.display())
        }
        (_, io::ErrorKind::NotFound) => {
            format!("`{}` cannot be started: the interpreter in its first line is not there", program.name)
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            format!(
                "`{}` cannot be started: it is no program, and has no `#!` line that names one",
                program.name
            )
        }
        _ => format!("`{}` cannot be started: {error}", program.name),
    };
    sink.say(&reason);
    Outcome::NotStarted { reason, errno: error.raw_os_error() }
}

fn outcome(status: io::Result<ExitStatus>) -> Outcome {
    match status {
        Ok(status) if status.success() => Outcome::Success,
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Outcome::ExitNonzero { code },
            (None, signal) => Outcome::Signal { signal: signal.unwrap_or(0) },
        },
        Err(error) => Outcome::not_started(format!("the program was lost: {error}")),
    }
}

impl Running {
    /// Waits for the end, and shows what is printed; `Err` when it is to be stopped.
    async fn end(&mut self, stop: &mut Stop, sink: &mut Sink<'_>) -> Result<io::Result<ExitStatus>, Outcome> {
        loop {
            tokio::select! {
                biased;
                why = stop.reached() => return Err(why),
                status = self.child.wait() => return Ok(status),
                read = self.printed.read() => match read {
                    None => {
                        sink.end();
                        break;
                    }
                    Some((stream, bytes)) => sink.write(stream, bytes),
                },
                () = sleep(LINE_WAIT), if sink.has_part() => sink.show_part(),
            }
        }
        tokio::select! {
            why = stop.reached() => Err(why),
            status = self.child.wait() => Ok(status),
        }
    }

    /// TERM to all, then KILL when the grace is over, and KILL to what has come meanwhile.
    async fn stop(&mut self, grace: Duration, sink: &mut Sink<'_>) {
        // Before the signal: it is the parents that end first, and the line of descent with them.
        self.family.look().await;
        self.family.signal(Signal::TERM);
        let end = Instant::now() + grace;
        let mut wait = LOOK;
        let mut reaped = false;
        while Instant::now() < end {
            reaped |= matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
            if reaped && self.family.living().await.is_empty() {
                break;
            }
            tokio::select! {
                read = self.printed.read() => match read {
                    Some((stream, bytes)) => sink.write(stream, bytes),
                    None => sleep(wait).await,
                },
                () = sleep_until((Instant::now() + wait).min(end)) => {}
            }
            wait = (wait * 2).min(LOOK_MAX);
        }
        if !reaped {
            self.family.signal(Signal::KILL);
            let _ = self.child.wait().await;
        }
        self.family.sweep().await;
    }

    /// Reads what is left in the pipes, for a bounded time.
    async fn drain(&mut self, sink: &mut Sink<'_>, limit: Duration) -> Pipe {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, self.printed.read()).await {
                Err(_) => return Pipe::Open,
                Ok(None) => return Pipe::Closed,
                Ok(Some((stream, bytes))) => sink.write(stream, bytes),
            }
        }
    }

    /// Tells of processes that the program left running. They are let be, as cron lets them.
    async fn tell_left(&mut self, pipe: Pipe, sink: &mut Sink<'_>) {
        for _ in 0..LEFT_LOOKS {
            if pipe == Pipe::Closed && self.family.is_group_empty() {
                return;
            }
            self.family.look().await;
            let left = self.family.living().await;
            if left.is_empty() {
                return;
            }
            if pipe == Pipe::Open {
                break;
            }
            // It may have closed the pipe because it is about to end.
            sleep(LOOK).await;
        }
        let left = self.family.living().await;
        let names = left.iter().take(NAMES_MAX).map(|left| format!("{} ({})", left.name, left.pid));
        let names: Vec<String> = names.collect();
        let more = if left.len() > NAMES_MAX {
            format!(" and {} more", left.len() - NAMES_MAX)
        } else {
            String::new()
        };
        if !names.is_empty() {
            sink.say(&format!(
                "left running: {}{more}; what is printed from here on is not kept",
                names.join(", ")
            ));
        }
    }
}
