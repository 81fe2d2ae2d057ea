//! Is the peer there? Pings, their answers, and this node's own lateness in; suspicion out.
//!
//! The detector says *unavailable* when `missed_pings` pings in a row stayed unanswered. What follows from that is the
//! arbiter's business. A node that was itself stopped doesn't blame its peer: its suspicion starts anew.

use std::collections::VecDeque;

use crate::types::Millis;

/// How quick a peer is suspected.
#[derive(Clone, Copy, Debug)]
pub struct DetectorSettings {
    /// One ping each so many milliseconds.
    pub ping_rate_ms: u64,
    /// A ping unanswered for so long is missed.
    pub ping_timeout_ms: u64,
    /// So many missed in a row make the peer unavailable.
    pub missed_pings: u32,
    /// A peer whose work stands still for longer than this gives no sign of life, though it answers.
    pub failover_time_ms: u64,
}

/// What the detector noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// The peer stopped answering.
    Unavailable,
    /// The peer answers (again).
    Available,
    /// This node itself stood still.
    Stalled {
        /// How long ago its last tick was, in milliseconds: for so long the peer may have heard nothing.
        for_ms: u64,
    },
    /// The peer answered a ping that was sent after this node had stood still.
    AnsweredAfterStall,
}

/// Watches one peer.
#[derive(Debug)]
pub struct FailureDetector {
    settings: DetectorSettings,
    linked: bool,
    /// There was a link; before that nobody is missed.
    met: bool,
    next_number: u64,
    waiting: VecDeque<(u64, Millis)>,
    missed_in_row: u32,
    missed_total: u64,
    last_sign: Millis,
    last_tick: Option<Millis>,
    available: bool,
    answer_wanted: Option<u64>,
}

impl FailureDetector {
    /// A detector that has seen nothing yet.
    pub fn new(settings: DetectorSettings, now: Millis) -> Self {
        Self {
            settings,
            linked: false,
            met: false,
            next_number: 1,
            waiting: VecDeque::new(),
            missed_in_row: 0,
            missed_total: 0,
            last_sign: now,
            last_tick: None,
            available: false,
            answer_wanted: None,
        }
    }

    /// One tick each `ping_rate_ms`. Returns the number of the ping to send now, and what was noticed.
    pub fn tick(&mut self, now: Millis) -> (u64, Vec<Noticed>) {
        let mut noticed = Vec::new();
        let late = self.last_tick.map_or(0, |last| now.since(last).saturating_sub(self.settings.ping_rate_ms));
        self.last_tick = Some(now);
        if late > 3 * self.settings.ping_rate_ms {
            self.waiting.clear();
            self.missed_in_row = 0;
            self.last_sign = now;
            self.answer_wanted = Some(self.next_number);
            noticed.push(Noticed::Stalled { for_ms: late + self.settings.ping_rate_ms });
        }
        while let Some(&(_, sent)) = self.waiting.front() {
            if now.since(sent) < self.settings.ping_timeout_ms {
                break;
            }
            self.waiting.pop_front();
            self.missed_in_row = self.missed_in_row.saturating_add(1);
            self.missed_total += u64::from(self.linked);
        }
        if self.available && self.missed_in_row >= self.settings.missed_pings {
            self.available = false;
            noticed.push(Noticed::Unavailable);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.push_back((number, now));
        (number, noticed)
    }

    /// The peer answered ping `number`. `stalled_ms`: for how long its work stands still.
    pub fn pong(&mut self, number: u64, stalled_ms: u64, now: Millis) -> Vec<Noticed> {
        if stalled_ms > self.settings.failover_time_ms {
            return Vec::new();
        }
        let mut noticed = self.alive(stalled_ms, now);
        while self.waiting.front().is_some_and(|&(waiting, _)| waiting <= number) {
            self.waiting.pop_front();
        }
        if self.answer_wanted.is_some_and(|wanted| number >= wanted) {
            self.answer_wanted = None;
            noticed.push(Noticed::AnsweredAfterStall);
        }
        noticed
    }

    /// The peer sent something: a ping of its own, a report.
    pub fn alive(&mut self, stalled_ms: u64, now: Millis) -> Vec<Noticed> {
        if stalled_ms > self.settings.failover_time_ms {
            return Vec::new();
        }
        self.last_sign = now;
        self.missed_in_row = 0;
        if self.available || !self.linked {
            return Vec::new();
        }
        self.available = true;
        vec![Noticed::Available]
    }

    /// The link is up: that is a sign of life.
    pub fn link_up(&mut self, now: Millis) -> Vec<Noticed> {
        self.linked = true;
        self.met = true;
        self.waiting.clear();
        self.alive(0, now)
    }

    /// The link is down: pings go unanswered from now on.
    pub fn link_down(&mut self) {
        self.linked = false;
    }

    /// When the peer last gave a sign of life; the start of this detector when it never did.
    pub fn last_sign(&self) -> Millis {
        self.last_sign
    }

    /// Missed in a row now, and missed on an open link ever.
    pub fn missed(&self) -> (u32, u64) {
        (if self.met { self.missed_in_row } else { 0 }, self.missed_total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector() -> FailureDetector {
        let settings =
            DetectorSettings { ping_rate_ms: 100, ping_timeout_ms: 300, missed_pings: 3, failover_time_ms: 1000 };
        let mut detector = FailureDetector::new(settings, Millis(0));
        assert_eq!(detector.link_up(Millis(0)), [Noticed::Available]);
        detector
    }

    fn silent_ticks(detector: &mut FailureDetector, from: u64, to: u64) -> Vec<(u64, Noticed)> {
        (from..=to)
            .step_by(100)
            .flat_map(|at| detector.tick(Millis(at)).1.into_iter().map(move |noticed| (at, noticed)))
            .collect()
    }

    #[test]
    fn three_missed_pings_make_the_peer_unavailable() {
        let mut detector = detector();
        // Pings at 0, 100, 200 are missed at 300, 400, 500.
        assert_eq!(silent_ticks(&mut detector, 0, 900), [(500, Noticed::Unavailable)]);
        assert_eq!(detector.last_sign(), Millis(0));
        assert_eq!(detector.pong(9, 0, Millis(950)), [Noticed::Available]);
        assert_eq!(detector.last_sign(), Millis(950));
    }

    #[test]
    fn nobody_is_missed_before_there_was_a_link() {
        let settings =
            DetectorSettings { ping_rate_ms: 100, ping_timeout_ms: 300, missed_pings: 3, failover_time_ms: 1000 };
        let mut detector = FailureDetector::new(settings, Millis(0));
        assert_eq!(silent_ticks(&mut detector, 0, 5000), []);
        assert_eq!(detector.missed(), (0, 0));
        assert_eq!(detector.link_up(Millis(5050)), [Noticed::Available]);
        assert_eq!(detector.missed(), (0, 0));
    }

    #[test]
    fn an_answer_in_between_starts_the_count_anew() {
        let mut detector = detector();
        assert_eq!(silent_ticks(&mut detector, 0, 400), []);
        assert_eq!(detector.pong(5, 0, Millis(450)), []);
        assert_eq!(silent_ticks(&mut detector, 500, 1200), [(1000, Noticed::Unavailable)]);
    }

    #[test]
    fn a_node_that_was_stopped_does_not_blame_its_peer() {
        let mut detector = detector();
        let (number, _) = detector.tick(Millis(0));
        detector.pong(number, 0, Millis(1));
        let (number, noticed) = detector.tick(Millis(5000));
        assert_eq!(noticed, [Noticed::Stalled { for_ms: 5000 }]);
        assert_eq!(detector.last_sign(), Millis(5000));
        assert_eq!(detector.pong(number, 0, Millis(5001)), [Noticed::AnsweredAfterStall]);
        // A tick that is late by three pings is still no stall.
        assert_eq!(detector.tick(Millis(5400)).1, []);
    }

    #[test]
    fn a_peer_that_answers_but_does_not_work_gives_no_sign_of_life() {
        let mut detector = detector();
        for at in (0..2000).step_by(100) {
            let (number, _) = detector.tick(Millis(at));
            detector.pong(number, 1500, Millis(at + 1));
        }
        assert_eq!(detector.last_sign(), Millis(0));
        assert!(!detector.available);
    }
}
