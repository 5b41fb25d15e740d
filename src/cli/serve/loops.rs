//! The loops of a running daemon, watched: none of them ends by itself. One that did would leave a
//! daemon that answers and does nothing.

use std::any::Any;

use futures_util::future::select_all;
use tokio::task::{JoinError, JoinHandle};

/// Loops that go on, by what people call them.
#[derive(Debug, Default)]
pub(super) struct Loops {
    going: Vec<(&'static str, JoinHandle<()>)>,
}

impl Loops {
    /// Takes one in.
    pub(super) fn add(&mut self, name: &'static str, going: JoinHandle<()>) {
        self.going.push((name, going));
    }

    /// Waits until one has ended; gives the words for it. Without any, it waits for ever. May be
    /// dropped and called again.
    pub(super) async fn one_ends(&mut self) -> String {
        if self.going.is_empty() {
            std::future::pending::<()>().await;
        }
        let (ended, index, _) = select_all(self.going.iter_mut().map(|(_, going)| going)).await;
        told(self.going.remove(index).0, ended)
    }

    /// Waits until all have ended. May be dropped and called again.
    pub(super) async fn all_end(&mut self) {
        while !self.going.is_empty() {
            self.one_ends().await;
        }
    }
}

/// Says in a line that a loop has ended, and how.
pub(super) fn told(name: &str, ended: Result<(), JoinError>) -> String {
    match ended.map_err(JoinError::try_into_panic) {
        Err(Ok(panic)) => format!("{name} broke: {}", said(panic.as_ref())),
        Ok(()) | Err(Err(_)) => format!("{name} ended by itself"),
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// F22.
    #[tokio::test]
    async fn a_loop_that_ends_or_breaks_is_told_by_its_name() {
        let mut loops = Loops::default();
        loops.add("the first loop", tokio::spawn(pending()));
        loops.add("the second loop", tokio::spawn(async { panic!("no room for {}", "it") }));
        assert_eq!(loops.one_ends().await, "the second loop broke: no room for it");
        loops.add("the third loop", tokio::spawn(async {}));
        assert_eq!(loops.one_ends().await, "the third loop ended by itself");
        assert_eq!(told("it", tokio::spawn(async { panic!("plain") }).await), "it broke: plain");
    }

    #[tokio::test]
    async fn all_have_ended_when_the_last_one_has() {
        let mut loops = Loops::default();
        loops.add("one", tokio::spawn(async {}));
        loops.add("another", tokio::spawn(tokio::task::yield_now()));
        loops.all_end().await;
        assert!(loops.going.is_empty());
    }
}
