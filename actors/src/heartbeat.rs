//! Pings the peer, answers its pings, and tells the arbiter what that says. On the control thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Supervised};
use hotpair_core::arbiter::Input;
use hotpair_core::failure_detector::Noticed;
use hotpair_core::protocol::Control;
use hotpair_core::types::{Millis, Mode};

use crate::directory::names::{HEARTBEAT, SUPERVISOR};
use crate::last_words::end_for_hang;
use crate::messages::{Beat, Happened, LinkChanged, Probe};
use crate::shared::Shared;
use crate::step::Step;

/// So many round trips are kept until somebody collects them.
const MAX_ROUND_TRIPS: usize = 1024;

/// Shell around [`hotpair_core::failure_detector`].
pub struct Heartbeat {
    pub(crate) shared: Arc<Shared>,
    sent: VecDeque<(u64, u64)>,
    watched: Watched,
}

/// What this actor knows of the supervisor, whom nobody else watches.
#[derive(Debug, Default)]
struct Watched {
    beat: u64,
    looked: Option<Millis>,
    /// For how long it made no progress while this actor did.
    still_ms: u64,
    ending: bool,
}

impl Heartbeat {
    /// The heartbeat of a node.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, sent: VecDeque::new(), watched: Watched::default() }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let step = Step::begin(&self.shared, HEARTBEAT);
        let (number, noticed) = self.shared.detector.lock().tick(now);
        // Before the gate opens again, the arbiter must know that this node stood still.
        let stalled = noticed.iter().any(
            |noticed| matches!(noticed, Noticed::Stalled { for_ms } if *for_ms >= self.shared.settings.failover_time_ms),
        );
        if stalled {
            self.shared.gate.close();
        }
        self.tell(noticed);
        drop(step);
        self.watch_supervisor(now);
        self.shared.gate.beat(now);
        self.sent.push_back((number, self.shared.clock.now_us()));
        if self.sent.len() > 64 {
            self.sent.pop_front();
        }
        let stalled_ms = self.shared.directory.stalled_ms(now);
        self.shared.tell_peer(Control::Ping { number, stalled_ms });
        // Armed anew each time: an interval would make up for missed ticks in a burst.
        ctx.run_later(Duration::from_millis(self.shared.settings.ping_rate_ms), Self::tick);
    }

    /// A machine that was suspended wakes all at once: only time in which this actor worked counts.
    fn watch_supervisor(&mut self, now: Millis) {
        let beat = self.shared.directory.supervisor_beat();
        let watched = &mut self.watched;
        let since = watched.looked.replace(now).map_or(0, |looked| now.since(looked));
        if std::mem::replace(&mut watched.beat, beat) != beat || beat == 0 {
            watched.still_ms = 0;
            return;
        }
        watched.still_ms += since.min(self.shared.settings.ping_rate_ms * 2);
        if watched.still_ms >= self.shared.settings.hang_after_ms && !watched.ending {
            watched.ending = true;
            end_for_hang(&self.shared, &[SUPERVISOR]);
        }
    }

    fn tell(&self, noticed: Vec<Noticed>) {
        let Some(arbiter) = self.shared.directory.state_arbiter() else { return };
        for noticed in noticed {
            arbiter.do_send(Happened(match noticed {
                Noticed::Unavailable => {
                    tracing::warn!("the peer does not answer");
                    Input::Unavailable { last_sign: self.shared.detector.lock().last_sign() }
                }
                Noticed::Available => Input::Available,
                Noticed::Stalled { for_ms } => {
                    tracing::warn!(for_ms, "this node was stopped");
                    Input::Stalled { for_ms }
                }
                Noticed::AnsweredAfterStall => Input::AnsweredAfterStall,
            }));
        }
    }

    fn round_trip(&mut self, number: u64) {
        let Some(at) = self.sent.iter().position(|(sent, _)| *sent == number) else { return };
        let Some((_, sent_us)) = self.sent.drain(..=at).next_back() else { return };
        let us = self.shared.clock.now_us().saturating_sub(sent_us);
        let mut rtt = self.shared.rtt.lock();
        rtt.last_us = Some(us);
        if rtt.fresh_us.len() < MAX_ROUND_TRIPS {
            rtt.fresh_us.push(us);
        }
    }
}

impl Actor for Heartbeat {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.shared.gate.beat(self.shared.clock.now());
        if self.shared.settings.mode != Mode::Independent {
            self.tick(ctx);
        }
    }
}

impl Supervised for Heartbeat {}

impl Handler<Beat> for Heartbeat {
    type Result = ();

    fn handle(&mut self, Beat(message): Beat, _: &mut Self::Context) {
        let now = self.shared.clock.now();
        if let Control::Pong { number, .. } = &message {
            self.round_trip(*number);
        }
        let _step = Step::begin(&self.shared, HEARTBEAT);
        let noticed = match message {
            Control::Ping { number, stalled_ms } => {
                let own = self.shared.directory.stalled_ms(now);
                self.shared.tell_peer(Control::Pong { number, stalled_ms: own });
                self.shared.detector.lock().alive(stalled_ms, now)
            }
            Control::Pong { number, stalled_ms } => self.shared.detector.lock().pong(number, stalled_ms, now),
            _ => return,
        };
        self.tell(noticed);
    }
}

impl Handler<LinkChanged> for Heartbeat {
    type Result = ();

    fn handle(&mut self, LinkChanged { up }: LinkChanged, _: &mut Self::Context) {
        let _step = Step::begin(&self.shared, HEARTBEAT);
        let mut detector = self.shared.detector.lock();
        if up {
            let noticed = detector.link_up(self.shared.clock.now());
            drop(detector);
            self.tell(noticed);
        } else {
            detector.link_down();
        }
    }
}

impl Handler<Probe> for Heartbeat {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {
        self.shared.directory.answered(HEARTBEAT, self.shared.clock.now());
    }
}
