//! How a command ends.

use std::{error::Error, io, io::Write as _, process::ExitCode};

use super::format::text;
use crate::{execute::causes::with_causes, manifest::problem::Problem};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to say.
    Clean,
    /// Findings, differences, a failed run.
    Found,
    /// It could not be told.
    Trouble,
    /// A signal ended it, as a shell says it: 128 and the signal's number.
    Signalled(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Clean => 0,
            Exit::Found => 1,
            Exit::Trouble => 2,
            Exit::Signalled(signal) => 128_u8.saturating_add(signal),
        })
    }
}

/// Why a command could not do as asked.
#[derive(Debug)]
pub enum Failure {
    /// The settings cannot be used.
    Settings(Vec<Problem>),
    /// Something else, with its causes.
    Error(Box<dyn Error + Send + Sync>),
    /// Whoever reads our output has gone.
    Closed,
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.downcast_ref::<io::Error>() {
            Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Error(error),
        }
    }
}

impl Failure {
    /// Says it on stderr.
    pub(super) fn report(self) -> ExitCode {
        let mut err = anstream::stderr();
        // Nobody is left to be told of a closed terminal.
        let _ = match &self {
            Self::Closed => return Exit::Clean.into(),
            Self::Settings(problems) => {
                write!(err, "{}", text::render(problems, text::Look::detect()))
            }
            Self::Error(error) => writeln!(err, "error: {}", with_causes(error.as_ref())),
        };
        Exit::Trouble.into()
    }
}
