//! How much of what is sent in bulk may be under way at once, so that a slow line is kept busy and no queue grows in it:
//! in that queue, in some router, heartbeats would wait, or be dropped from it.
//!
//! The receiver says how much has arrived. What took longer than the fastest has waited behind something: then less is
//! sent. The idea is that of LEDBAT (RFC 6817), that of measuring the bare line now and then is BBR's.

use std::collections::VecDeque;

use crate::types::Millis;

/// A receiver says so at the latest after so many bytes.
pub const SAY_EVERY_BYTES: usize = 4 * 1024;
/// A line of 1 Mbit/s carries it in 64 ms.
const LEAST_BYTES: usize = 2 * SAY_EVERY_BYTES;
/// As much as TCP itself sends at first.
const START_BYTES: usize = 16 * 1024;
/// A fast line is full with it.
const MOST_BYTES: usize = 1024 * 1024;
/// A piece that takes the line for long would hold up what goes between two of them.
const MOST_PIECE_BYTES: usize = 16 * 1024;
/// So much longer than the fastest is no wavering any more: what is sent waits behind something.
const WAITED_MS: u64 = 50;
/// After so long the line may be another one: it is measured anew.
const BELIEVED_MS: u64 = 10_000;
/// As [`BELIEVED_MS`], when nothing was sent.
const BELIEVED_IDLE_MS: u64 = 1000;

/// What is sent over a connection and has not arrived yet, as far as this side knows.
#[derive(Debug)]
pub struct Pace {
    under_way: VecDeque<Sent>,
    sent: u64,
    arrived: u64,
    window: usize,
    /// More waits than the window lets pass.
    limited: bool,
    /// It was so since the line was measured.
    was_limited: bool,
    /// The fastest since then. None: nothing has arrived that tells.
    fastest_ms: Option<u64>,
    /// The window after the measuring, which is done with the least.
    then: usize,
    measured_at: Millis,
    last_sent: Millis,
    /// It was too wide once: it grows more slowly.
    steady: bool,
    /// What was sent up to here tells nothing of the present window.
    before: u64,
}

/// What was sent in one millisecond.
#[derive(Debug)]
struct Sent {
    at: Millis,
    begin: u64,
    end: u64,
}

impl Pace {
    /// Of a connection that begins.
    pub fn new(now: Millis) -> Self {
        Self {
            under_way: VecDeque::new(),
            sent: 0,
            arrived: 0,
            window: START_BYTES,
            limited: false,
            was_limited: false,
            fastest_ms: None,
            then: START_BYTES,
            measured_at: now,
            last_sent: now,
            steady: false,
            before: 0,
        }
    }

    /// How much may be sent now, in one piece. 0: nothing before something arrives.
    pub fn room(&mut self, now: Millis) -> usize {
        self.doubt(now);
        let room = self.window.saturating_sub(self.under_way());
        // Less than that the receiver need not mention.
        if room < SAY_EVERY_BYTES {
            (self.limited, self.was_limited) = (true, true);
            return 0;
        }
        // Several pieces on their way tell when one has arrived while the next one is still coming.
        room.min((self.window / 16).clamp(SAY_EVERY_BYTES, MOST_PIECE_BYTES))
    }

    /// All that there was to send is sent.
    pub fn nothing_waits(&mut self) {
        self.limited = false;
    }

    /// So much was sent.
    pub fn sent(&mut self, bytes: usize, now: Millis) {
        let begin = self.sent;
        self.sent += bytes as u64;
        self.last_sent = now;
        match self.under_way.back_mut() {
            Some(last) if last.at == now => last.end = self.sent,
            _ => self.under_way.push_back(Sent { at: now, begin, end: self.sent }),
        }
    }

    /// The receiver has so much of all that was sent.
    pub fn arrived(&mut self, total: u64, now: Millis) {
        let total = total.min(self.sent);
        let Some(bytes) = total.checked_sub(self.arrived).filter(|bytes| *bytes > 0) else { return };
        self.arrived = total;
        let Some(at) = self.newest_arrived(total).filter(|_| total > self.before) else { return };
        let took = now.since(at);
        let Some(fastest) = &mut self.fastest_ms else {
            (self.fastest_ms, self.window) = (Some(took), self.then);
            return;
        };
        *fastest = took.min(*fastest);
        let fastest = *fastest;
        if took > fastest + WAITED_MS {
            // So much is on a line that is full, and half of that waiting.
            let fits = self.window as u64 * (fastest + WAITED_MS / 2) / took;
            self.steady = true;
            self.shrink((fits as usize).max(self.window / 2));
        } else if self.limited && took <= fastest + WAITED_MS / 2 {
            let more = if self.steady { bytes / 4 } else { bytes };
            self.window = self.window.saturating_add(more as usize).min(MOST_BYTES);
        }
    }

    fn under_way(&self) -> usize {
        (self.sent - self.arrived) as usize
    }

    /// When the last of what has arrived was sent.
    fn newest_arrived(&mut self, total: u64) -> Option<Millis> {
        let mut newest = None;
        while let Some(sent) = self.under_way.pop_front_if(|sent| sent.end <= total) {
            newest = Some(sent.at);
        }
        self.under_way.front().filter(|sent| sent.begin < total).map(|sent| sent.at).or(newest)
    }

    /// What was learnt long ago is not believed.
    fn doubt(&mut self, now: Millis) {
        let is_idle = self.under_way() < SAY_EVERY_BYTES;
        if is_idle && now.since(self.last_sent) >= BELIEVED_IDLE_MS {
            self.steady = false;
            self.measure(START_BYTES, START_BYTES, now);
        } else if now.since(self.measured_at) >= BELIEVED_MS {
            // A window that was not full tells nothing of a line that may be slow by now.
            let then = if self.was_limited { self.window } else { START_BYTES };
            self.measure(LEAST_BYTES, then, now);
        }
    }

    fn measure(&mut self, with: usize, then: usize, now: Millis) {
        self.fastest_ms = None;
        self.then = then;
        self.measured_at = now;
        self.was_limited = false;
        self.last_sent = now;
        self.shrink(with);
    }

    fn shrink(&mut self, window: usize) {
        self.window = window.max(LEAST_BYTES);
        self.before = self.sent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that carries so many bytes a millisecond, and what is on it.
    struct Line {
        bytes_per_ms: usize,
        delay_ms: u64,
        busy_until_us: u64,
        on_it: VecDeque<(u64, u64, usize)>,
        received: u64,
        said: u64,
    }

    impl Line {
        fn new(bytes_per_ms: usize, delay_ms: u64) -> Self {
            Self { bytes_per_ms, delay_ms, busy_until_us: 0, on_it: VecDeque::new(), received: 0, said: 0 }
        }

        fn carry(&mut self, bytes: usize, now: u64) {
            self.busy_until_us = (now * 1000).max(self.busy_until_us) + (bytes * 1000 / self.bytes_per_ms) as u64;
            self.on_it.push_back((now, self.busy_until_us / 1000 + self.delay_ms, bytes));
        }

        /// The longest that something which arrives now was on its way.
        fn step(&mut self, pace: &mut Pace, now: u64) -> u64 {
            let mut longest = 0;
            while let Some((sent, _, bytes)) = self.on_it.pop_front_if(|(_, arrives, _)| *arrives <= now) {
                longest = longest.max(now - sent);
                self.received += bytes as u64;
                if self.received - self.said >= SAY_EVERY_BYTES as u64 {
                    self.said = self.received;
                    pace.arrived(self.said, Millis(now));
                }
            }
            longest
        }
    }

    /// Sends all that it may for so many milliseconds. Gives how long the slowest was on its
    /// way.
    fn fill(pace: &mut Pace, line: &mut Line, times: std::ops::Range<u64>) -> u64 {
        let mut longest = 0;
        for now in times {
            longest = longest.max(line.step(pace, now));
            loop {
                let room = pace.room(Millis(now));
                if room == 0 {
                    break;
                }
                pace.sent(room, Millis(now));
                line.carry(room, now);
            }
        }
        longest
    }

    #[test]
    fn a_slow_line_is_full_and_nothing_waits_long() {
        for bytes_per_ms in [32, 125, 1250] {
            let (mut pace, mut line) = (Pace::new(Millis(0)), Line::new(bytes_per_ms, 2));
            let longest = fill(&mut pace, &mut line, 0..60_000);
            // The least is under way when the line is measured, and waits for itself.
            let least = (LEAST_BYTES / bytes_per_ms) as u64;
            assert!(longest <= 2 * (least + WAITED_MS) + 10, "{bytes_per_ms}: {longest} ms");
            assert!(line.received > bytes_per_ms as u64 * 60_000 * 9 / 10, "{bytes_per_ms}: {} bytes", line.received);
        }
    }

    #[test]
    fn a_long_line_is_full_too_be_it_slow_or_fast() {
        for (bytes_per_ms, delay_ms) in [(125, 50), (125, 200), (125, 400), (1250, 100), (2000, 200)] {
            let (mut pace, mut line) = (Pace::new(Millis(0)), Line::new(bytes_per_ms, delay_ms));
            fill(&mut pace, &mut line, 0..60_000);
            let part = line.received * 100 / (bytes_per_ms as u64 * 60_000);
            assert!(part >= 85, "{bytes_per_ms} bytes a ms, {delay_ms} ms: {part} %");
        }
    }

    #[test]
    fn a_fast_line_gets_the_most_within_milliseconds() {
        let (mut pace, mut line) = (Pace::new(Millis(0)), Line::new(1_000_000, 0));
        fill(&mut pace, &mut line, 0..30);
        assert_eq!(pace.window, MOST_BYTES);
    }

    /// The window grows only by what it let pass: a trickle says nothing about the line.
    #[test]
    fn a_trickle_opens_nothing() {
        let mut pace = Pace::new(Millis(0));
        let mut total = 0;
        for now in (0..9_000).step_by(10) {
            assert!(pace.room(Millis(now)) > 0);
            pace.sent(SAY_EVERY_BYTES, Millis(now));
            pace.nothing_waits();
            total += SAY_EVERY_BYTES as u64;
            pace.arrived(total, Millis(now + 1));
        }
        assert_eq!(pace.window, START_BYTES);
    }

    #[test]
    fn a_trickle_keeps_nothing_open() {
        let (mut pace, mut line) = (Pace::new(Millis(0)), Line::new(12_500, 1));
        fill(&mut pace, &mut line, 0..5_000);
        assert!(pace.window > 10 * START_BYTES);
        pace.nothing_waits();
        let mut total = pace.sent;
        for now in (5_000..26_000).step_by(100) {
            pace.arrived(total, Millis(now));
            assert!(pace.room(Millis(now)) > 0);
            pace.sent(100, Millis(now));
            total += 100;
        }
        assert_eq!(pace.window, START_BYTES);
    }

    #[test]
    fn a_line_that_became_slow_is_noticed() {
        let (mut pace, mut line) = (Pace::new(Millis(0)), Line::new(12_500, 1));
        fill(&mut pace, &mut line, 0..5_000);
        line.bytes_per_ms = 125;
        fill(&mut pace, &mut line, 5_000..20_000);
        let longest = fill(&mut pace, &mut line, 20_000..40_000);
        assert!(longest < 250, "{longest} ms");
    }

    #[test]
    fn after_a_pause_it_begins_anew() {
        let (mut pace, mut line) = (Pace::new(Millis(0)), Line::new(12_500, 1));
        fill(&mut pace, &mut line, 0..5_000);
        assert!(pace.window > 10 * LEAST_BYTES);
        line.step(&mut pace, 5_500);
        pace.room(Millis(7_000));
        assert_eq!(pace.window, START_BYTES);
    }

    /// Another way, twice as far: it is full again after the next measuring.
    #[test]
    fn a_line_that_became_long_is_measured_anew() {
        let (mut pace, mut line) = (Pace::new(Millis(0)), Line::new(1000, 1));
        fill(&mut pace, &mut line, 0..3_000);
        line.delay_ms = 200;
        fill(&mut pace, &mut line, 3_000..15_000);
        let before = line.received;
        fill(&mut pace, &mut line, 15_000..25_000);
        assert!(line.received - before > 1000 * 10_000 * 7 / 10, "{} bytes", line.received - before);
    }

    #[test]
    fn whoever_confirms_what_was_never_sent_gains_nothing() {
        let mut pace = Pace::new(Millis(0));
        pace.sent(100, Millis(0));
        pace.arrived(u64::MAX, Millis(1));
        pace.arrived(5, Millis(1));
        assert_eq!(pace.window, START_BYTES);
        pace.sent(START_BYTES, Millis(2));
        assert_eq!(pace.room(Millis(2)), 0);
    }

    /// What was sent before stays unconfirmed for long, as less than a receiver must mention.
    #[test]
    fn what_was_left_over_says_nothing_of_what_comes_after_it() {
        let mut pace = Pace::new(Millis(0));
        pace.sent(10_000, Millis(0));
        pace.arrived(8_000, Millis(1));
        pace.sent(10_000, Millis(500));
        pace.arrived(14_000, Millis(501));
        assert_eq!((pace.window, pace.fastest_ms), (START_BYTES, Some(1)));
    }

    /// It waits for long, but not because there is nothing to send.
    #[test]
    fn one_that_may_not_send_is_not_idle() {
        let mut pace = Pace::new(Millis(0));
        pace.sent(START_BYTES, Millis(0));
        assert_eq!(pace.room(Millis(0)), 0);
        pace.arrived(START_BYTES as u64 / 2, Millis(1_500));
        assert!(pace.room(Millis(1_500)) > 0);
        assert_eq!(pace.measured_at, Millis(0));
    }
}
