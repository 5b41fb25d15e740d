//! The claims of this process, with the times they are over.
//!
//! Pub/Sub takes an acknowledgement that is late without a word, so it is seen here.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use super::line::Arrived;
use crate::backend::queue::broker::{Delivery, Receipt};

/// Claims from which on those that are over, and were never settled, are looked for.
const SWEEP_MIN: usize = 1_024;

/// The claims.
#[derive(Debug)]
pub(super) struct Claims {
    /// Tells the receipts of this process from those of another.
    process: u64,
    next: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    until: HashMap<Receipt, Instant>,
    /// Claims at which they are swept.
    sweep_at: usize,
}

/// A claim that holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    /// The receipt that was given for it.
    receipt: &'a Receipt,
    /// Pub/Sub's name of it.
    pub(super) ack_id: &'a str,
}

impl Default for Claims {
    fn default() -> Self {
        let open = Open { until: HashMap::new(), sweep_at: SWEEP_MIN };
        Self { process: rand::random(), next: AtomicU64::default(), open: Mutex::new(open) }
    }
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives out messages, each with a claim.
    pub(super) fn open(&self, arrived: Vec<Arrived>) -> Vec<Delivery> {
        let number = self.next.fetch_add(arrived.len() as u64, Ordering::Relaxed);
        let process = self.process;
        let receipts = arrived.iter().zip(number..).map(|(message, number)| {
            Receipt(format!("{process:016x}.{number}/{}", message.ack_id).into_boxed_str())
        });
        let receipts: Vec<Receipt> = receipts.collect();
        let mut open = self.lock();
        open.until.extend(receipts.iter().cloned().zip(arrived.iter().map(|message| message.until)));
        open.sweep(Instant::now());
        drop(open);
        let deliveries = receipts.into_iter().zip(arrived).map(|(receipt, message)| Delivery {
            receipt,
            body: message.body,
            deliveries: message.deliveries,
        });
        deliveries.collect()
    }

    /// The claim of a receipt, while it holds.
    pub(super) fn claim<'a>(&self, receipt: &'a Receipt, now: Instant) -> Option<Claim<'a>> {
        let mut open = self.lock();
        if now >= *open.until.get(receipt)? {
            open.until.remove(receipt);
            return None;
        }
        let (_, ack_id) = receipt.0.split_once('/')?;
        Some(Claim { receipt, ack_id })
    }

    /// A claim is over, or holds until then.
    pub(super) fn settled(&self, claim: &Claim<'_>, until: Option<Instant>) {
        let mut open = self.lock();
        match until {
            None => {
                open.until.remove(claim.receipt);
            }
            Some(until) => {
                if let Some(old) = open.until.get_mut(claim.receipt) {
                    *old = until.max(*old);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().until.len()
    }
}

impl Open {
    /// Forgets what was never settled. Each claim is looked at about once.
    fn sweep(&mut self, now: Instant) {
        if self.until.len() >= self.sweep_at {
            self.until.retain(|_, until| now < *until);
            self.sweep_at = SWEEP_MIN.max(2 * self.until.len());
        }
    }
}
