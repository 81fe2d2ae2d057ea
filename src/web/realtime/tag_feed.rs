//! The tags that a client asked for.

use std::time::{Duration, Instant};

use super::super::error::ApiError;
use super::super::tags::view;
use super::messages::List;
use super::{MAX_TAGS, Step};
use crate::node::{NodeHandle, TagWatch, WatchStep};

/// From the begin of one look at the tags to the next one.
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct TagFeed {
    watch: TagWatch,
    list: List,
    /// A look at all tags is under way.
    looking: bool,
    /// When the last one began.
    began: Instant,
}

impl TagFeed {
    pub(super) fn new(node: &NodeHandle, paths: Vec<String>, now: Instant) -> Self {
        let watch = node.watch_tags(paths, MAX_TAGS);
        Self { watch, list: List::new("tagValues", true), looking: true, began: now }
    }

    /// `clear`: the client has read everything. A look begins only then, so that what is sent is never old.
    pub(super) fn step(&mut self, clear: bool, now: Instant) -> Result<Step, ApiError> {
        if !self.looking {
            let next = self.began + INTERVAL;
            if now < next || !clear {
                return Ok(Step::Wait(if clear { Some(next) } else { None }));
            }
            (self.looking, self.began) = (true, now);
        }
        let list = &mut self.list;
        let step = self.watch.step(&mut |path, sample| list.add(&view(path, sample)));
        let step = step.map_err(|error| {
            ApiError::bad_request(format!("{error}, which one connection cannot watch: ask for fewer"))
        })?;
        Ok(match step {
            WatchStep::More if self.list.is_full() => Step::Send(self.list.part(true)),
            WatchStep::More => Step::More,
            WatchStep::RoundOver => {
                self.looking = false;
                self.list.end().map_or(Step::More, Step::Send)
            }
        })
    }
}
