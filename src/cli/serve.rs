//! `tintal serve`: the daemon.

mod loops;
mod queues;

use std::{borrow::Cow, ffi::OsString, io::IsTerminal as _, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use self::{
    loops::{Loops, told},
    queues::Queues,
};
use super::{Exit, Failure, signals::Ear, tree};
use crate::{
    backend::live::JobChange,
    config::{LogFormat, Settings, Watching},
    control::{
        server,
        socket::{self, Lasting},
    },
    engine::{
        daemon::Daemon,
        follow::Follow,
        history,
        start::{self, Started},
    },
    execute::{adoption::adopt_orphans, leftover::end_leftovers_of},
    ledger::HistoryLimits,
    source::{
        alarm::{Alarm, Hint},
        watch::{Wanted, Watcher},
    },
};

/// How long runs that were killed may take to record it.
const RECORD_MAX: Duration = Duration::from_secs(3);

/// How long the loops may take to end, once they are told.
const LOOPS_MAX: Duration = Duration::from_secs(5);

/// Run the daemon: follow the manifests, fire on time, run, record
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Form of the log
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogWord>,

    /// What is logged: a level, or a list of `target=level`
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogWord {
    /// For people
    Text,
    /// One JSON document a line
    Json,
}

/// What ends the daemon.
struct Ends {
    terminate: Signal,
    /// A shell's script keeps Ctrl-C from what it starts in the background.
    interrupt: Ear,
}

impl Ends {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: Ear::new(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            () = self.interrupt.next() => {}
        }
    }
}

impl Serve {
    /// The settings that the flags give.
    pub(super) fn flags(&self) -> Vec<(&'static str, &'static str, OsString)> {
        let format = self.log_format.map(|format| match format {
            LogWord::Text => "text".into(),
            LogWord::Json => "json".into(),
        });
        let format = format.map(|format| ("log.format", "--log-format", format));
        let level = self.log_level.clone().map(|level| ("log.level", "--log-level", level.into()));
        format.into_iter().chain(level).collect()
    }

    pub(super) fn run(settings: &Settings) -> Result<Exit, Failure> {
        log(settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(serve(settings));
        // Reads of files that hang, as on a network disk, must not keep the process.
        runtime.shutdown_background();
        result
    }
}

/// A library's log of the watches that go with their directories, in the words of its code, is noise: of
/// it errors are logged, unless the settings name it.
fn with_quiet_parts(level: &str) -> Cow<'_, str> {
    let is_named = |part: &str| part.trim().starts_with("notify") || part.trim().eq_ignore_ascii_case("off");
    if level.split(',').any(is_named) { level.into() } else { format!("{level},notify=error").into() }
}

pub(super) fn log(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(with_quiet_parts(&settings.log_level)).map_err(|error| {
        format!("`log.level` cannot be read: {error}; write `info`, or `warn,tintal=debug`")
    })?;
    // By default a line that cannot be written is told with `eprintln!`, which panics when stderr takes
    // nothing: in the task that logged, whatever it was about to do.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let done = match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    done.map_err(Failure::from)
}

async fn serve(settings: &Settings) -> Result<Exit, Failure> {
    adopt_orphans();
    let mut ends = Ends::new()?;
    let Started { daemon, changes, requests, lanes, lock } =
        start::start(settings, tree::environment()).await?;
    let (stop_firing, firing_stopped) = watch::channel(false);
    let (stop_all, all_stopped) = watch::channel(false);
    // The socket answers before the first pass: a probe sees a daemon that is not ready yet.
    let lock = Arc::new(lock);
    let listener = Lasting::bind(&settings.state, Arc::clone(&lock)).map_err(|error| {
        format!("the control socket cannot be made in `{}`: {error}", settings.state.display())
    })?;
    let mut control = tokio::spawn(control(Arc::clone(&daemon), listener, all_stopped.clone()));

    let wanted = match settings.watch {
        Watching::Auto => Wanted::Auto,
        Watching::Poll => Wanted::Poll,
    };
    let watcher = Watcher::start(settings.jobs.clone(), wanted);
    let prefix = tree::prefix(&settings.jobs);
    let follow = Follow::new(Arc::clone(&daemon), watcher, tree::loader(settings), prefix);
    tokio::spawn(on_hangup(follow.alarm()));
    let (first, first_pass) = oneshot::channel();
    let limits = HistoryLimits { keep_last: settings.keep_last, max_age: settings.max_age };
    let mut loops = Loops::default();
    let fires = fire(Arc::clone(&daemon), first_pass, changes, firing_stopped.clone());
    loops.add("the fire loop", tokio::spawn(fires));
    loops.add("the reconcile loop", tokio::spawn(follow.run(requests, firing_stopped.clone(), first)));
    loops.add(
        "the loop that drops history",
        tokio::spawn(history::run(Arc::clone(&daemon), limits, all_stopped.clone())),
    );

    let queues = Queues::start(&daemon, settings, lanes, &mut loops, (&firing_stopped, &all_stopped));

    let why = tokio::select! {
        biased;
        () = ends.next() => Ok(()),
        () = lock.lost() => Err(lost(settings)),
        ended = loops.one_ends() => Err(broken(&ended)),
        ended = &mut control => Err(broken(&told("the control socket", ended))),
    };
    let left = drain(settings, &daemon, &mut ends, &stop_firing, queues).await;
    let _ = stop_all.send(true);
    tokio::select! {
        // A read that hangs must not keep the process,
        _ = timeout(LOOPS_MAX, loops.all_end()) => {}
        // and no person who asks once more.
        () = ends.next() => {}
    }
    control.abort();
    if why.is_ok() {
        // It makes a socket anew that is taken away, so it ends first.
        let _ = control.await;
        socket::unbind(&settings.state);
    }
    drop(lock);
    why?;
    if left > 0 {
        return Err(format!("{left} runs are left behind; the next daemon sees to them").into());
    }
    info!("stopped");
    Ok(Exit::Clean)
}

async fn control(daemon: Arc<Daemon>, listener: Lasting, stop: watch::Receiver<bool>) {
    if let Err(error) = server::serve(daemon, listener, stop).await {
        error!(%error, "the control socket cannot be served");
    }
}

/// A daemon without one of its loops is none. What its runs still do is recorded before it ends.
fn broken(ended: &str) -> Failure {
    error!("{ended}; stopping, since a daemon without it does not do its work");
    format!("{ended}, which is a bug; start the daemon again").into()
}

fn lost(settings: &Settings) -> Failure {
    let state = settings.state.display();
    error!(%state, "the state directory was taken away; stopping, since another daemon could use one of the same name");
    format!("the state directory `{state}` was taken away while the daemon ran; start it again").into()
}

/// Fires, once the first pass is done: a job whose manifest was taken away while no daemon ran must
/// not fire once more, and neither must what was left of its runs. Nothing fires when the daemon is
/// told to stop before that.
async fn fire(
    daemon: Arc<Daemon>,
    first_pass: oneshot::Receiver<()>,
    changes: mpsc::UnboundedReceiver<JobChange>,
    mut stopped: watch::Receiver<bool>,
) {
    if first_pass.await.is_err() {
        // Either that, or the reconcile loop has broken, which is told then.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        return;
    }
    daemon.parts().decider.begin_firing().await;
    daemon.recover().await;
    daemon.set_recovered();
    daemon.set_ready();
    let jobs = daemon.jobs().jobs().len();
    let directory = daemon.parts().root.display().to_string();
    match daemon.tree().failure {
        None => info!(jobs, directory, "ready"),
        Some(failure) => {
            warn!(jobs, directory, failure, "ready without the manifests: what was applied before runs on");
        }
    }
    tokio::join!(start::fire_loop(&daemon).run(changes, stopped), daemon.fire_at_boot());
}

/// Stops firing, and lets runs come to their end within the deadline; then they are stopped. A second
/// signal kills them at once. Gives how many runs are left: their end could not be recorded.
async fn drain(
    settings: &Settings,
    daemon: &Daemon,
    ends: &mut Ends,
    stop_firing: &watch::Sender<bool>,
    queues: Queues,
) -> usize {
    daemon.set_draining();
    let _ = stop_firing.send(true);
    let running = daemon.running();
    if !running.is_empty() {
        info!(
            runs = running.len(),
            seconds = settings.shutdown_timeout.as_secs(),
            "stopping: waiting for runs; a second signal stops them"
        );
    }
    // Both kinds of runs come to their end side by side.
    let mut over = std::pin::pin!(async { tokio::join!(running.drained(), queues.drained()) });
    let is_killed = tokio::select! {
        over = timeout(settings.shutdown_timeout, &mut over) => match over {
            Ok(_) => return 0,
            Err(_) => false,
        },
        () = ends.next() => true,
    };
    queues.hurry();
    warn!(runs = running.len(), "stopping runs");
    running.cancel_all();
    if !is_killed {
        tokio::select! {
            over = timeout(daemon.stop_max(), &mut over) => if over.is_ok() { return 0 },
            () = ends.next() => {}
        }
    }
    // Now that they have ended, the runs record it; a ledger that cannot be written holds them up.
    let _ = tokio::task::block_in_place(|| end_leftovers_of(&running.ids()));
    let _ = timeout(RECORD_MAX, over).await;
    running.len()
}

/// SIGHUP starts a pass.
async fn on_hangup(alarm: Arc<Alarm>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        info!("SIGHUP: looking at the manifests");
        alarm.ring(Hint::Whole);
    }
}
