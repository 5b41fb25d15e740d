//! One child process: its group, its output, its end.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    process::{Child, Command},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    leftover::{Mark, end_leftovers},
    sink::Sink,
    step::Stop,
};
use crate::run::Outcome;

/// How long the pipe is read after the program has ended: a child that it left behind may keep
/// it open for ever.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// The rest of a line is waited for this long before its beginning is shown.
const LINE_WAIT: Duration = Duration::from_millis(100);

/// How often a group that was told to end is looked at.
const LOOK: Duration = Duration::from_millis(10);

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

/// Runs a program to its end, or until it is stopped.
pub(super) async fn run(
    program: Program,
    mark: &Mark,
    grace: Duration,
    stop: &mut Stop,
    sink: &mut Sink<'_>,
) -> Outcome {
    let (mut child, mut pipe) = match spawn(&program) {
        Ok(spawned) => spawned,
        Err(error) => return not_started(&program, &error, sink),
    };
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut buffer = vec![0; READ_BYTES];
    let ended = loop {
        tokio::select! {
            biased;
            why = stop.reached() => break Err(why),
            status = child.wait() => break Ok(status),
            read = pipe.read(&mut buffer) => match read {
                Ok(0) | Err(_) => tokio::select! {
                    why = stop.reached() => break Err(why),
                    status = child.wait() => break Ok(status),
                },
                Ok(count) => sink.write(&buffer[..count]),
            },
            () = sleep(LINE_WAIT), if sink.has_part() => sink.show_part(),
        }
    };
    let outcome = match ended {
        Ok(status) => {
            drain(&mut pipe, &mut buffer, sink, DRAIN_MAX).await;
            outcome(status)
        }
        Err(why) => {
            if let Some(group) = group {
                end_group(&mut child, group, grace, &mut pipe, &mut buffer, sink).await;
            }
            let _ = end_leftovers(mark);
            drain(&mut pipe, &mut buffer, sink, LOOK).await;
            why
        }
    };
    sink.end();
    outcome
}

fn spawn(program: &Program) -> io::Result<(Child, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(&program.file);
    command
        .arg0(&program.name)
        .args(&program.arguments)
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    if let Some(directory) = &program.directory {
        command.current_dir(directory);
    }
    let child = command.spawn()?;
    // Our copies of the writing end go with the command, so that its end is seen.
    drop(command);
    Ok((child, pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?))
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
    Outcome::NotStarted { reason }
}

fn outcome(status: io::Result<ExitStatus>) -> Outcome {
    match status {
        Ok(status) if status.success() => Outcome::Success,
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Outcome::ExitNonzero { code },
            (None, signal) => Outcome::Signal { signal: signal.unwrap_or(0) },
        },
        Err(error) => Outcome::NotStarted { reason: format!("the program was lost: {error}") },
    }
}

/// TERM to the group, then KILL when the grace is over and something of it is left.
async fn end_group(
    child: &mut Child,
    group: Pid,
    grace: Duration,
    pipe: &mut pipe::Receiver,
    buffer: &mut [u8],
    sink: &mut Sink<'_>,
) {
    let _ = kill_process_group(group, Signal::TERM);
    let end = Instant::now() + grace;
    let mut reaped = false;
    loop {
        if !reaped && matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            reaped = true;
        }
        if reaped && test_kill_process_group(group).is_err() {
            return;
        }
        if Instant::now() >= end {
            break;
        }
        tokio::select! {
            read = pipe.read(buffer) => match read {
                Ok(count) if count > 0 => sink.write(&buffer[..count]),
                _ => sleep(LOOK).await,
            },
            () = sleep_until((Instant::now() + LOOK).min(end)) => {}
        }
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait().await;
}

/// Reads what is left in the pipe, for a bounded time.
async fn drain(pipe: &mut pipe::Receiver, buffer: &mut [u8], sink: &mut Sink<'_>, limit: Duration) {
    let end = Instant::now() + limit;
    while let Ok(Ok(count)) = timeout(end.saturating_duration_since(Instant::now()), pipe.read(buffer)).await
    {
        if count == 0 {
            return;
        }
        sink.write(&buffer[..count]);
    }
}
