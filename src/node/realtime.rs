//! Tags under observation: first all of them, then what changes.
//!
//! A watch keeps of each tag only which change its reader saw last, and looks at the table when the reader asks. A
//! reader that asks seldom gets the newest values; nothing is collected for him in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotpair_core::alarms::AlarmCounts;
use hotpair_core::catalog::{TagId, path_matches};
use hotpair_core::quality::Quality;
use hotpair_core::tags::Moment;
use hotpair_core::types::{Seq, UnixMillis};
use hotpair_core::value::{Sample, Value};
use tokio::sync::watch;

use super::aged::aged;
use super::{NodeHandle, system_tags};
use crate::status::NodeStatus;

/// Paths that are compared with patterns in one step: about a millisecond.
const COMPARED_AT_A_TIME: usize = 16_384;
/// Tags that are looked at in one step, while the table is held: some ten microseconds.
const LOOKED_AT_A_TIME: usize = 1024;
/// Without a change in the table it is looked at again after this time, for values that have become stale since.
const LOOK_FOR_STALE: Duration = Duration::from_secs(1);

/// No reader saw this tag yet.
const NEVER: Seq = Seq::MAX;

/// Tags that a reader watches: see [`NodeHandle::watch_tags`].
pub struct TagWatch {
    node: NodeHandle,
    /// What is not resolved yet; none: everything is.
    asked: Option<Asked>,
    /// Exact paths that are no tags. Told once.
    unknown: Vec<String>,
    tags: Vec<Watched>,
    system: System,
    /// Most tags that may be watched.
    max: usize,
    /// The tag that comes next in this round; none: between two rounds.
    next: Option<usize>,
    /// As the table was when this round began.
    moment: Moment,
    looked: Option<Instant>,
}

/// What was asked for.
struct Asked {
    patterns: Vec<String>,
    /// Of exact paths, in order.
    exact: Vec<TagId>,
    /// The next tag to be compared with the patterns.
    next: u32,
}

/// Which change of a tag the reader saw last, and with which quality.
struct Watched {
    id: TagId,
    quality: Quality,
    seq: Seq,
}

/// The system tags that are watched. Their times move without a change, so that values are compared.
struct System {
    changes: watch::Receiver<Arc<NodeStatus>>,
    tags: Vec<WatchedSystem>,
    alarms: AlarmCounts,
    looked: Option<Instant>,
}

struct WatchedSystem {
    path: Arc<str>,
    /// What the reader saw last.
    seen: Option<(Value, Quality)>,
}

/// What a step of a [`TagWatch`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchStep {
    /// There is more to look at in this round.
    More,
    /// Every tag was looked at; the next step begins a new round.
    RoundOver,
}

/// More tags fit the paths than may be watched at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {0} tags fit these paths")]
pub struct TooManyTags(pub usize);

impl NodeHandle {
    /// Watches the tags whose paths fit any of the patterns (`*` stands for any characters), at most `max`. It returns at
    /// once: all work is done by [`TagWatch::step`].
    pub fn watch_tags(&self, patterns: Vec<String>, max: usize) -> TagWatch {
        let status = self.subscribe_status();
        let system = system_tags::all(&status.borrow(), AlarmCounts::default(), UnixMillis(0));
        let system = system.into_iter().map(|(tag, _)| tag.path);
        let system = system.filter(|path| fits(&patterns, path));
        let system = system.map(|path| WatchedSystem { path, seen: None }).collect();
        let (patterns, paths): (Vec<_>, Vec<_>) = patterns.into_iter().partition(|path| path.contains('*'));
        let (mut exact, mut unknown) = (Vec::new(), Vec::new());
        let system = System { changes: status, tags: system, alarms: AlarmCounts::default(), looked: None };
        for path in paths {
            match self.catalog().find(&path) {
                Some(id) => exact.push(id),
                None if system.has(&path) || unknown.contains(&path) => {}
                None => unknown.push(path),
            }
        }
        exact.sort_unstable();
        exact.dedup();
        TagWatch {
            node: self.clone(),
            asked: Some(Asked { patterns, exact, next: 0 }),
            unknown,
            tags: Vec::new(),
            system,
            max,
            next: Some(0),
            moment: Moment::default(),
            looked: None,
        }
    }
}

impl TagWatch {
    /// Does a small piece of work and calls `each` for the tags that the reader has not seen so yet: in the first round
    /// all, later those that changed. A path without a tag is told once, without a sample. When `each` says false, the
    /// step ends behind that tag.
    ///
    /// # Errors
    /// Too many tags fit. The watch is of no use then.
    pub fn step(&mut self, each: &mut dyn FnMut(&str, Option<Sample>) -> bool) -> Result<WatchStep, TooManyTags> {
        if let Some(asked) = self.asked.take() {
            self.resolve(asked)?;
            return Ok(WatchStep::More);
        }
        if let Some(path) = self.unknown.pop() {
            each(&path, None);
            return Ok(WatchStep::More);
        }
        let begun = self.next.is_some() || self.begin_round();
        let next = self.next.unwrap_or(0);
        if begun && next < self.tags.len() {
            self.next = Some(self.look(next, each));
            return Ok(WatchStep::More);
        }
        self.next = None;
        Ok(self.look_at_system(each))
    }

    fn resolve(&mut self, mut asked: Asked) -> Result<(), TooManyTags> {
        let catalog = self.node.catalog().clone();
        let watched = |id| Watched { id, quality: Quality::GOOD, seq: NEVER };
        if asked.patterns.is_empty() {
            self.tags.extend(asked.exact.into_iter().map(watched));
        } else {
            let end = (asked.next as usize + (COMPARED_AT_A_TIME / asked.patterns.len()).max(1)).min(catalog.len());
            let fitting = (asked.next..end as u32).map(TagId).filter(|id| {
                let tag = catalog.get(*id);
                asked.exact.binary_search(id).is_ok() || tag.is_some_and(|tag| fits(&asked.patterns, &tag.path))
            });
            self.tags.extend(fitting.take(self.max + 1).map(watched));
            asked.next = end as u32;
            self.asked = (end < catalog.len()).then_some(asked);
        }
        if self.tags.len() > self.max {
            return Err(TooManyTags(self.max));
        }
        if self.asked.is_none() {
            self.tags.shrink_to_fit();
            self.begin_round();
            self.next = Some(0);
        }
        Ok(())
    }

    /// False: no tag can have changed.
    fn begin_round(&mut self) -> bool {
        let now = Instant::now();
        let moment = self.node.shared().table.read().moment();
        let stale = self.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_FOR_STALE);
        if moment == self.moment && !stale {
            return false;
        }
        if !moment.numbers_like(self.moment) {
            for tag in &mut self.tags {
                tag.seq = NEVER;
            }
        }
        (self.moment, self.looked) = (moment, Some(now));
        true
    }

    /// Looks at some tags from `next` on; the answer is the one behind them. `each` is called without the table.
    fn look(&mut self, next: usize, each: &mut dyn FnMut(&str, Option<Sample>) -> bool) -> usize {
        let end = (next + LOOKED_AT_A_TIME).min(self.tags.len());
        let shared = self.node.shared();
        let (catalog, now) = (self.node.catalog(), shared.clock.wall());
        let mut changed = Vec::new();
        let table = shared.table.read();
        for (place, tag) in (next..end).zip(&self.tags[next..end]) {
            let (Some(def), Some(sample)) = (catalog.get(tag.id), table.get(tag.id)) else { continue };
            let (sample, seq) = (aged(def, sample, now), table.slot_seq(tag.id));
            if seq != tag.seq || sample.quality != tag.quality {
                changed.push((place, seq, &*def.path, sample));
            }
        }
        drop(table);
        for (place, seq, path, sample) in changed {
            let tag = &mut self.tags[place];
            (tag.seq, tag.quality) = (seq, sample.quality);
            if !each(path, Some(sample)) {
                return place + 1;
            }
        }
        end
    }

    /// The end of each round.
    fn look_at_system(&mut self, each: &mut dyn FnMut(&str, Option<Sample>) -> bool) -> WatchStep {
        let system = &mut self.system;
        if system.tags.is_empty() {
            return WatchStep::RoundOver;
        }
        let recently = system.looked.is_some_and(|looked| looked.elapsed() < LOOK_FOR_STALE);
        let alarms = self.node.alarm_table().counts();
        if recently && system.alarms == alarms && !system.changes.has_changed().unwrap_or(false) {
            return WatchStep::RoundOver;
        }
        system.changes.borrow_and_update();
        system.alarms = alarms;
        system.looked = Some(Instant::now());
        for (tag, sample) in self.node.system_tags() {
            let Some(watched) = system.tags.iter_mut().find(|watched| watched.path == tag.path) else { continue };
            let shown = Some((sample.value.clone(), sample.quality));
            if watched.seen != shown {
                watched.seen = shown;
                // There are few: they are not worth a step each.
                each(&tag.path, Some(sample));
            }
        }
        WatchStep::RoundOver
    }
}

impl System {
    fn has(&self, path: &str) -> bool {
        self.tags.iter().any(|tag| *tag.path == *path)
    }
}

fn fits(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| path_matches(pattern, path))
}

#[cfg(test)]
mod tests;
