//! What one channel was given and did not settle: messages that nobody has asked for yet, and claims.
//!
//! Pure: the caller passes the time. A channel numbers what it is given, from 1 and without a gap, and
//! those numbers (tags) name a message here.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lapin::BasicProperties;

use super::super::broker::BrokerError;

/// How long a message may lie here that nobody asks for: a worker that is there asks again at once, and
/// another one should not wait long for what this one does not take.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(1);

/// How long a message that is not ours is kept from all who receive.
pub(super) const LEAVE_FOR: Duration = Duration::from_secs(60);

/// Most messages that are kept so on one channel: each is also kept in this process.
const LEFT_MAX: usize = 1_000;

/// Most messages that one consumer is given unsettled: a prefetch is 16 bits wide.
const PREFETCH_MAX: usize = 10_000;

/// A message as it came.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// What it says.
    pub(super) body: Bytes,
    /// What was said of it.
    pub(super) properties: BasicProperties,
    /// How often it was handed out, this time included.
    pub(super) deliveries: u32,
}

/// A message that is handed out.
#[derive(Debug)]
pub(super) struct Taken {
    /// Which one.
    pub(super) tag: u64,
    /// What it says.
    pub(super) body: Bytes,
    /// How often it was handed out, this time included.
    pub(super) deliveries: u32,
}

/// A message that nobody has asked for yet.
#[derive(Debug)]
struct Fresh {
    given: Given,
    at: Instant,
}

/// A message that was handed out.
#[derive(Debug)]
struct Claim {
    given: Given,
    until: Instant,
    is_left: bool,
}

/// Whether more comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Yes.
    Open,
    /// No more comes; claims are still settled here.
    Retired,
    /// The channel is gone, and every claim with it.
    Over(BrokerError),
}

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It goes.
    Done,
    /// It goes back to the queue.
    Back,
}

/// What is to be said to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// Of which message.
    pub(super) tag: u64,
    /// Of all before it as well.
    pub(super) multiple: bool,
    /// What became of it.
    pub(super) end: End,
}

/// What one channel was given.
#[derive(Debug)]
pub(super) struct Shelf {
    /// Whether more comes.
    pub(super) stage: Stage,
    /// Consumers that were asked for, and are not confirmed.
    pub(super) opening: usize,
    /// What all consumers may be given unsettled.
    credit: usize,
    /// What those who receive now ask for.
    asked: usize,
    last_asked: Instant,
    fresh: BTreeMap<u64, Fresh>,
    /// The next one to hand out: consumers of one channel are read side by side, and order is kept.
    next: u64,
    claims: BTreeMap<u64, Claim>,
    /// No claim ends before this.
    earliest: Option<Instant>,
}

impl Shelf {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            stage: Stage::Open,
            opening: 0,
            credit: 0,
            asked: 0,
            last_asked: now,
            fresh: BTreeMap::new(),
            next: 1,
            claims: BTreeMap::new(),
            earliest: None,
        }
    }

    /// Takes note that somebody asks for so many. Gives how many more a new consumer is to be given, so
    /// that what may come is what is asked for.
    pub(super) fn ask(&mut self, max: usize) -> usize {
        self.asked = self.asked.saturating_add(max);
        let free = self.free();
        let need = self.asked.saturating_sub(self.fresh.len() + free).min(PREFETCH_MAX);
        if self.stage != Stage::Open || need == 0 {
            return 0;
        }
        self.credit += need;
        self.opening += 1;
        need
    }

    /// Takes note that they do so no more.
    pub(super) fn stop_asking(&mut self, max: usize, now: Instant) {
        self.asked = self.asked.saturating_sub(max);
        self.last_asked = now;
    }

    /// What may still come.
    fn free(&self) -> usize {
        self.credit.saturating_sub(self.fresh.len() + self.claims.len())
    }

    pub(super) fn put(&mut self, tag: u64, given: Given, now: Instant) {
        self.fresh.insert(tag, Fresh { given, at: now });
    }

    /// Hands out up to `max`, in order. They are claims until `until`.
    pub(super) fn take(&mut self, max: usize, until: Instant) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(entry) = self.fresh.first_entry()
            && *entry.key() == self.next
        {
            let given = entry.remove().given;
            taken.push(Taken { tag: self.next, body: given.body.clone(), deliveries: given.deliveries });
            self.claims.insert(self.next, Claim { given, until, is_left: false });
            self.next += 1;
        }
        if !taken.is_empty() {
            self.earliest = Some(self.earliest.map_or(until, |earliest| earliest.min(until)));
        }
        taken
    }

    pub(super) fn holds(&self, tag: u64) -> bool {
        self.claims.contains_key(&tag)
    }

    pub(super) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Makes a claim last until then; gives its message, and none when there is no such claim.
    pub(super) fn extend(&mut self, tag: u64, until: Instant) -> Option<&Given> {
        let claim = self.claims.get_mut(&tag)?;
        claim.until = until;
        self.earliest = Some(self.earliest.map_or(until, |earliest| earliest.min(until)));
        Some(&claim.given)
    }

    /// Keeps a message that is not ours. Gives one that was kept before, and must make room.
    pub(super) fn leave(&mut self, tag: u64, now: Instant) -> Option<u64> {
        self.extend(tag, now + LEAVE_FOR)?;
        if let Some(claim) = self.claims.get_mut(&tag) {
            claim.is_left = true;
        }
        let left = || self.claims.iter().filter(|(_, claim)| claim.is_left);
        if left().count() <= LEFT_MAX {
            return None;
        }
        left().min_by_key(|(_, claim)| claim.until).map(|(&tag, _)| tag)
    }

    /// Ends claims, each as it says; gives what the server is to be told. What is no claim is passed
    /// over.
    pub(super) fn end(&mut self, ends: &BTreeMap<u64, End>) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        let mut is_unbroken = true;
        for (&tag, &end) in ends {
            if is_unbroken && self.claims.keys().next() != Some(&tag) {
                is_unbroken = false;
            }
            if self.claims.remove(&tag).is_none() {
                continue;
            }
            match words.last_mut() {
                // All that is before it is settled as well, so one word says it of all.
                Some(word) if is_unbroken && word.end == end => *word = Word { tag, multiple: true, end },
                _ => words.push(Word { tag, multiple: false, end }),
            }
        }
        words
    }

    /// Claims that are over.
    pub(super) fn expired(&mut self, now: Instant) -> BTreeMap<u64, End> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return BTreeMap::new();
        }
        let (over, held): (Vec<_>, Vec<_>) = self.claims.iter().partition(|(_, claim)| claim.until <= now);
        self.earliest = held.iter().map(|(_, claim)| claim.until).min();
        over.iter().map(|(tag, _)| (**tag, End::Back)).collect()
    }

    /// Whether what lies here, or may come, is not asked for by anybody.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.idle_at().is_some_and(|at| at <= now)
    }

    fn idle_at(&self) -> Option<Instant> {
        if self.stage != Stage::Open || self.asked > 0 {
            return None;
        }
        match self.fresh.first_key_value() {
            Some((_, fresh)) => Some(fresh.at.min(self.last_asked) + IDLE_MAX),
            None if self.free() > 0 => Some(self.last_asked + IDLE_MAX),
            None => None,
        }
    }

    /// When there is something to do next, if nothing changes.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.earliest, self.idle_at()].into_iter().flatten().min()
    }

    /// Nothing more is handed out; gives what was not.
    pub(super) fn retire(&mut self) -> Vec<u64> {
        self.stage = Stage::Retired;
        std::mem::take(&mut self.fresh).into_keys().collect()
    }

    /// The channel is gone.
    pub(super) fn close(&mut self, why: BrokerError) {
        self.stage = Stage::Over(why);
        self.fresh.clear();
        self.claims.clear();
        self.earliest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Duration = Duration::from_secs(60);

    fn given() -> Given {
        Given { body: Bytes::new(), properties: BasicProperties::default(), deliveries: 1 }
    }

    /// A shelf of which messages 1 to `count` are claims, and the time that it was made at.
    fn claimed(count: u64) -> (Shelf, Instant) {
        let now = Instant::now();
        let mut shelf = Shelf::new(now);
        let max = usize::try_from(count).unwrap();
        shelf.ask(max);
        (1..=count).for_each(|tag| shelf.put(tag, given(), now));
        assert_eq!(shelf.take(max, now + CLAIM).len(), max);
        shelf.stop_asking(max, now);
        (shelf, now)
    }

    /// Ends are `tag` for done and `-tag` for back; words are the same, with `*` for multiple.
    #[track_caller]
    fn check(count: u64, ends: &[i64], words: &str) {
        let (mut shelf, _) = claimed(count);
        let end = |&tag: &i64| (tag.unsigned_abs(), if tag > 0 { End::Done } else { End::Back });
        let shown = |word: Word| {
            let sign = if word.end == End::Back { "-" } else { "" };
            format!("{sign}{}{}", word.tag, if word.multiple { "*" } else { "" })
        };
        let said: Vec<String> = shelf.end(&ends.iter().map(end).collect()).into_iter().map(shown).collect();
        assert_eq!(said.join(" "), words);
    }

    #[test]
    fn one_word_settles_all_that_come_before_it() {
        check(3, &[1, 2, 3], "3*");
        check(3, &[1], "1");
        check(3, &[2], "2");
        check(3, &[3], "3");
        check(4, &[1, 2, 4], "2* 4");
        check(4, &[2, 3, 4], "2 3 4");
        check(4, &[1, 2, -3, -4], "2* -4*");
        check(4, &[1, -2, 3, 4], "1 -2 4*");
        check(2, &[1, 7], "1");
        check(2, &[7], "");
    }

    #[test]
    fn a_word_for_many_takes_nothing_with_it_that_was_settled_one_by_one() {
        let (mut shelf, _) = claimed(4);
        shelf.end(&BTreeMap::from([(1, End::Back), (3, End::Done)]));
        let words = shelf.end(&BTreeMap::from([(2, End::Done), (4, End::Done)]));
        assert_eq!(words, [Word { tag: 4, multiple: true, end: End::Done }]);
        assert!(!shelf.has_claims());
    }

    #[test]
    fn what_may_come_is_what_is_asked_for() {
        let now = Instant::now();
        let mut shelf = Shelf::new(now);
        assert_eq!(shelf.ask(5), 5);
        // Two came, and three may still come: for another two nothing is missing.
        shelf.put(1, given(), now);
        shelf.put(2, given(), now);
        assert_eq!(shelf.take(5, now).len(), 2);
        shelf.stop_asking(5, now);
        assert_eq!(shelf.ask(3), 0);
        assert_eq!(shelf.ask(2), 2, "beside those three");
        shelf.stop_asking(5, now);
        shelf.end(&BTreeMap::from([(1, End::Done), (2, End::Done)]));
        assert_eq!(shelf.ask(7), 0);
    }

    #[test]
    fn what_is_left_does_not_use_up_what_may_come() {
        let (mut shelf, now) = claimed(1);
        assert_eq!(shelf.leave(1, now), None);
        assert_eq!(shelf.ask(1), 1);
    }

    #[test]
    fn past_the_limit_the_oldest_that_was_left_makes_room() {
        let (mut shelf, now) = claimed(LEFT_MAX as u64 + 1);
        for tag in 1..=LEFT_MAX as u64 {
            assert_eq!(shelf.leave(tag, now + Duration::from_millis(tag)), None);
        }
        assert_eq!(shelf.leave(LEFT_MAX as u64 + 1, now + CLAIM), Some(1));
    }

    #[test]
    fn messages_are_handed_out_in_order_also_when_they_come_out_of_it() {
        let now = Instant::now();
        let mut shelf = Shelf::new(now);
        shelf.put(2, given(), now);
        assert_eq!(shelf.take(2, now).len(), 0);
        shelf.put(1, given(), now);
        let tags: Vec<u64> = shelf.take(2, now).into_iter().map(|taken| taken.tag).collect();
        assert_eq!(tags, [1, 2]);
    }

    #[test]
    fn a_claim_that_is_not_extended_goes_back() {
        let (mut shelf, now) = claimed(3);
        assert!(shelf.extend(2, now + CLAIM * 2).is_some());
        assert!(shelf.expired(now + CLAIM.saturating_sub(Duration::from_millis(1))).is_empty());
        assert_eq!(shelf.due(), Some(now + CLAIM));
        let over = shelf.expired(now + CLAIM);
        assert_eq!(over, BTreeMap::from([(1, End::Back), (3, End::Back)]));
        shelf.end(&over);
        assert_eq!(shelf.due(), Some(now + IDLE_MAX), "as two may come, and nobody asks");
        assert_eq!(shelf.extend(1, now).map(|given| given.deliveries), None);
        assert_eq!(shelf.expired(now + CLAIM * 2), BTreeMap::from([(2, End::Back)]));
    }

    #[test]
    fn it_is_idle_only_while_nobody_asks_and_something_may_come() {
        let (mut shelf, now) = claimed(1);
        let later = now + IDLE_MAX;
        let before = now + IDLE_MAX.saturating_sub(Duration::from_millis(1));
        assert!(!shelf.is_idle(later), "nothing may come");
        shelf.end(&BTreeMap::from([(1, End::Done)]));
        assert!(shelf.is_idle(later));
        assert!(!shelf.is_idle(before));
        shelf.ask(1);
        assert!(!shelf.is_idle(later));
        shelf.stop_asking(1, later);
        assert!(!shelf.is_idle(later));
        assert!(shelf.is_idle(later + IDLE_MAX));
    }
}
