//! How much of what is sent in bulk may be under way at once, so that a slow line is kept busy and no queue grows in it:
//! in that queue, in some router, heartbeats would wait, or be dropped from it.
//!
//! The receiver says how much has arrived. What took longer than the fastest has waited behind something: then less is
//! sent. The idea is that of LEDBAT (RFC 6817), that of measuring the bare line now and then is BBR's.

use std::collections::VecDeque;

use crate::types::Millis;

/// A receiver says so at the latest after so many bytes.
pub const SAY_EVERY_BYTES: usize = 4 * 1024;
/// The least and the most. A line of 1 Mbit/s carries the least in 64 ms, a fast one is full with the most.
const LEAST_BYTES: usize = 2 * SAY_EVERY_BYTES;
const MOST_BYTES: usize = 1024 * 1024;
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
    /// The window was full since something arrived.
    limited: bool,
    measured: Measured,
    measured_at: Millis,
    last_sent: Millis,
    /// What was sent up to here tells nothing of the present window.
    before: u64,
}

/// What was sent in one millisecond.
#[derive(Debug)]
struct Sent {
    at: Millis,
    end: u64,
}

#[derive(Debug)]
enum Measured {
    /// Not yet: with the least under way. Afterwards the window is this one.
    Then(usize),
    Fastest(u64),
}

impl Pace {
    /// Of a connection that begins.
    pub fn new(now: Millis) -> Self {
        Self {
            under_way: VecDeque::new(),
            sent: 0,
            arrived: 0,
            window: LEAST_BYTES,
            limited: false,
            measured: Measured::Then(LEAST_BYTES),
            measured_at: now,
            last_sent: now,
            before: 0,
        }
    }

    /// How much may be sent now. 0: nothing before something arrives.
    pub fn room(&mut self, now: Millis) -> usize {
        if now.since(self.last_sent) >= BELIEVED_IDLE_MS {
            self.measure(LEAST_BYTES, now);
        } else if now.since(self.measured_at) >= BELIEVED_MS {
            self.measure(self.window, now);
        }
        let room = self.window.saturating_sub((self.sent - self.arrived) as usize);
        // Less than that the receiver need not mention.
        if room < SAY_EVERY_BYTES {
            self.limited = true;
            return 0;
        }
        room
    }

    /// So much was sent.
    pub fn sent(&mut self, bytes: usize, now: Millis) {
        self.sent += bytes as u64;
        self.last_sent = now;
        match self.under_way.back_mut() {
            Some(last) if last.at == now => last.end = self.sent,
            _ => self.under_way.push_back(Sent { at: now, end: self.sent }),
        }
    }

    /// The receiver has so much of all that was sent.
    pub fn arrived(&mut self, total: u64, now: Millis) {
        let total = total.min(self.sent);
        let Some(bytes) = total.checked_sub(self.arrived) else { return };
        self.arrived = total;
        let mut newest = None;
        while let Some(sent) = self.under_way.pop_front_if(|sent| sent.end <= total) {
            newest = Some(sent);
        }
        let Some(newest) = newest.filter(|newest| newest.end > self.before) else { return };
        let took = now.since(newest.at);
        match &mut self.measured {
            Measured::Then(window) => {
                self.window = *window;
                self.measured = Measured::Fastest(took);
            }
            Measured::Fastest(fastest) => {
                *fastest = took.min(*fastest);
                if took > *fastest + WAITED_MS {
                    // So much is on a line that is full, and half of that waiting.
                    let fits = self.window as u64 * (*fastest + WAITED_MS / 2) / took;
                    self.shrink((fits as usize).max(self.window / 2));
                } else if self.limited {
                    self.window = (self.window + bytes as usize).min(MOST_BYTES);
                }
            }
        }
        self.limited = false;
    }

    fn measure(&mut self, then: usize, now: Millis) {
        self.measured = Measured::Then(then);
        self.measured_at = now;
        self.last_sent = now;
        self.shrink(LEAST_BYTES);
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

    /// Sends all that it may, in pieces of at most 64 KiB, for so many milliseconds. Gives how long the slowest was on its
    /// way.
    fn fill(pace: &mut Pace, line: &mut Line, times: std::ops::Range<u64>) -> u64 {
        let mut longest = 0;
        for now in times {
            longest = longest.max(line.step(pace, now));
            loop {
                let room = pace.room(Millis(now)).min(64 * 1024);
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
            let least = (LEAST_BYTES / bytes_per_ms) as u64;
            assert!(longest <= 2 * (least + WAITED_MS) + 10, "{bytes_per_ms}: {longest} ms");
            assert!(line.received > bytes_per_ms as u64 * 60_000 * 9 / 10, "{bytes_per_ms}: {} bytes", line.received);
        }
    }

    #[test]
    fn a_long_line_is_full_too() {
        let (mut pace, mut line) = (Pace::new(Millis(0)), Line::new(2000, 200));
        fill(&mut pace, &mut line, 0..30_000);
        assert!(line.received > 2000 * 30_000 * 8 / 10, "{} bytes", line.received);
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
            total += SAY_EVERY_BYTES as u64;
            pace.arrived(total, Millis(now + 1));
        }
        assert_eq!(pace.window, LEAST_BYTES);
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
        assert_eq!(pace.room(Millis(7_000)), LEAST_BYTES);
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
        assert_eq!(pace.room(Millis(1)), LEAST_BYTES);
        pace.sent(LEAST_BYTES, Millis(2));
        assert_eq!(pace.room(Millis(2)), 0);
    }
}
