//! What may go wrong, and what people do that makes it worse: each fault with all that decides what it does.

use std::fmt;

use crate::rng::Rng;

/// Times are microseconds; `node`: 0 is the Master, 1 the Backup.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The process is killed. So much of what was under way reaches the disks (percent).
    Crash {
        node: usize,
        lasts: u64,
        written: u64,
        returns: Returns,
    },
    /// The machine is gone without a word, too.
    PowerOff {
        node: usize,
        lasts: u64,
        written: u64,
        returns: Returns,
    },
    PowerCut {
        lasts: [u64; 2],
        written: [u64; 2],
    },
    CleanStop {
        node: usize,
        returns: Returns,
    },
    /// The process stands still.
    Pause {
        node: usize,
        lasts: u64,
    },
    /// The cable carries nothing to this node; none: in neither direction.
    Cut {
        to: Option<usize>,
        lasts: u64,
    },
    /// Every cut, delay and narrowness ends.
    Heal,
    Delay {
        more: u64,
        lasts: u64,
    },
    /// The network carries so many bytes a millisecond and connection.
    SlowLink {
        bytes_per_ms: u64,
        lasts: u64,
    },
    /// All connections of a kind are reset; each end hears of it this much later.
    Reset {
        bulk: bool,
        late: [u64; 2],
    },
    /// This node's end of the control connection is gone, and the other one does not learn of it.
    HalfOpen {
        node: usize,
    },
    /// A connection carries nothing any more, and neither end learns of it.
    Stuck {
        bulk: bool,
    },
    /// The Backup connects again, though its connection stands.
    SecondConnection,
    DiskFull {
        node: usize,
        lasts: u64,
    },
    /// Each operation takes this much longer.
    DiskSlow {
        node: usize,
        more: u64,
        lasts: u64,
    },
    JournalFails {
        node: usize,
        lasts: u64,
    },
    /// The journal drops all but so many of its newest entries.
    JournalForgets {
        node: usize,
        keeps: usize,
    },
    /// The clock on the wall is set.
    WallJump {
        node: usize,
        by_ms: i64,
    },
    /// The steady clock runs at another speed, in millionths.
    Drift {
        node: usize,
        ppm: i64,
    },
    /// An actor panics over something that concerns nobody else.
    ActorKilled {
        node: usize,
        actor: Actor,
        lasts: u64,
    },
    /// An actor panics in the middle of a step of its machine, whose state is torn: the node ends itself.
    TornBy {
        node: usize,
        actor: Actor,
        lasts: u64,
        written: u64,
    },
    Switch {
        node: usize,
    },
    SwitchAtBoth,
    Hold {
        node: usize,
        ms: u64,
    },
    /// An actor of this node keeps failing.
    Faulted {
        node: usize,
        lasts: u64,
    },
}

/// What is other than before when a node starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    AsItWas,
    WithoutDisk,
    WithOtherProject,
    WithOtherLicense,
}

/// The actors of a node that the pair depends on; the number is that of their mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    StateArbiter,
    TagReplicator,
    AlarmReplicator,
    PeerLink,
    Heartbeat,
}

const WITH_A_MACHINE: [Actor; 4] =
    [Actor::StateArbiter, Actor::TagReplicator, Actor::AlarmReplicator, Actor::Heartbeat];
const ACTORS: [Actor; 5] =
    [Actor::StateArbiter, Actor::TagReplicator, Actor::AlarmReplicator, Actor::PeerLink, Actor::Heartbeat];

/// A kind of fault: its name, and how one is drawn. A seed gives each kind a weight.
///
/// `open`: what is known not to be survived yet, and happens only with `HOTPAIR_OPEN=1`.
pub struct Kind {
    pub name: &'static str,
    pub open: bool,
    pub draw: fn(&mut Rng) -> Fault,
}

pub const KINDS: &[Kind] = &[
    Kind { open: false, name: "crash", draw: |rng| crash(rng, Returns::AsItWas) },
    Kind { open: false, name: "power off", draw: |rng| power_off(rng, Returns::AsItWas) },
    Kind {
        open: false,
        name: "power cut of both",
        draw: |rng| Fault::PowerCut { lasts: [lasts(rng), lasts(rng)], written: [written(rng), written(rng)] },
    },
    Kind { open: false, name: "disk lost", draw: |rng| down(rng, Returns::WithoutDisk) },
    Kind { open: false, name: "project changed", draw: |rng| down(rng, Returns::WithOtherProject) },
    Kind { open: false, name: "licence changed", draw: |rng| down(rng, Returns::WithOtherLicense) },
    Kind {
        open: false,
        name: "clean stop",
        draw: |rng| Fault::CleanStop { node: node(rng), returns: Returns::AsItWas },
    },
    Kind { open: false, name: "pause", draw: |rng| Fault::Pause { node: node(rng), lasts: lasts(rng) } },
    Kind { open: false, name: "cut", draw: |rng| Fault::Cut { to: None, lasts: lasts(rng) } },
    Kind { open: false, name: "one-way cut", draw: |rng| Fault::Cut { to: Some(node(rng)), lasts: lasts(rng) } },
    Kind { open: false, name: "heal", draw: |_| Fault::Heal },
    Kind {
        open: false,
        name: "delay",
        draw: |rng| Fault::Delay { more: rng.pick(&[20_000, 150_000, 600_000]), lasts: lasts(rng) },
    },
    Kind {
        open: false,
        name: "slow link",
        draw: |rng| Fault::SlowLink { bytes_per_ms: rng.pick(&[5, 20, 100]), lasts: lasts(rng) },
    },
    Kind { open: false, name: "link reset", draw: |rng| Fault::Reset { bulk: false, late: [late(rng), late(rng)] } },
    Kind { open: false, name: "lane reset", draw: |rng| Fault::Reset { bulk: true, late: [late(rng), late(rng)] } },
    Kind { open: false, name: "half-open link", draw: |rng| Fault::HalfOpen { node: node(rng) } },
    Kind { open: false, name: "stuck link", draw: |_| Fault::Stuck { bulk: false } },
    Kind { open: false, name: "stuck lane", draw: |_| Fault::Stuck { bulk: true } },
    Kind { open: false, name: "second connection", draw: |_| Fault::SecondConnection },
    Kind { open: false, name: "disk full", draw: |rng| Fault::DiskFull { node: node(rng), lasts: lasts(rng) } },
    Kind {
        open: false,
        name: "disk slow",
        draw: |rng| Fault::DiskSlow {
            node: node(rng),
            more: rng.pick(&[20_000, 200_000, 1_500_000, 5_000_000]),
            lasts: lasts(rng),
        },
    },
    Kind { open: false, name: "journal fails", draw: |rng| Fault::JournalFails { node: node(rng), lasts: lasts(rng) } },
    Kind {
        open: true,
        name: "journal forgets",
        draw: |rng| Fault::JournalForgets { node: node(rng), keeps: rng.pick(&[5, 20, 60]) },
    },
    Kind {
        open: false,
        name: "wall clock set",
        draw: |rng| Fault::WallJump {
            node: node(rng),
            by_ms: rng.pick(&[-7_200_000, -180_000, -800, 800, 180_000, 7_200_000]),
        },
    },
    Kind {
        open: false,
        name: "clock drift",
        draw: |rng| Fault::Drift { node: node(rng), ppm: rng.pick(&[-10_000, -200, 0, 200, 10_000]) },
    },
    Kind {
        open: false,
        name: "actor killed",
        draw: |rng| Fault::ActorKilled {
            node: node(rng),
            actor: rng.pick(&ACTORS),
            lasts: rng.pick(&[1_000, 2_000, 8_000]),
        },
    },
    Kind {
        open: false,
        name: "actor torn by a message",
        draw: |rng| Fault::TornBy {
            node: node(rng),
            actor: rng.pick(&WITH_A_MACHINE),
            lasts: lasts(rng),
            written: written(rng),
        },
    },
    Kind { open: false, name: "switch", draw: |rng| Fault::Switch { node: node(rng) } },
    Kind { open: false, name: "switch at both", draw: |_| Fault::SwitchAtBoth },
    Kind { open: false, name: "hold", draw: |rng| Fault::Hold { node: node(rng), ms: rng.pick(&[0, 300, 3000]) } },
    Kind { open: false, name: "faulted", draw: |rng| Fault::Faulted { node: node(rng), lasts: lasts(rng) } },
];

fn node(rng: &mut Rng) -> usize {
    rng.range(0, 1) as usize
}

fn lasts(rng: &mut Rng) -> u64 {
    rng.pick(&[2_000, 60_000, 700_000, 2_500_000, 6_000_000])
}

fn late(rng: &mut Rng) -> u64 {
    rng.pick(&[0, 1_000, 40_000, 400_000])
}

fn written(rng: &mut Rng) -> u64 {
    rng.pick(&[0, 0, 50, 100])
}

fn crash(rng: &mut Rng, returns: Returns) -> Fault {
    Fault::Crash { node: node(rng), lasts: lasts(rng), written: written(rng), returns }
}

fn power_off(rng: &mut Rng, returns: Returns) -> Fault {
    Fault::PowerOff { node: node(rng), lasts: lasts(rng), written: written(rng), returns }
}

fn down(rng: &mut Rng, returns: Returns) -> Fault {
    match rng.range(0, 2) {
        0 => crash(rng, returns),
        1 => power_off(rng, returns),
        _ => Fault::CleanStop { node: node(rng), returns },
    }
}

impl Fault {
    /// How long it lasts, as far as it can be shorter.
    pub fn lasts_mut(&mut self) -> Vec<&mut u64> {
        match self {
            Self::Crash { lasts, .. }
            | Self::PowerOff { lasts, .. }
            | Self::Pause { lasts, .. }
            | Self::Cut { lasts, .. }
            | Self::Delay { lasts, .. }
            | Self::SlowLink { lasts, .. }
            | Self::DiskFull { lasts, .. }
            | Self::DiskSlow { lasts, .. }
            | Self::JournalFails { lasts, .. }
            | Self::TornBy { lasts, .. }
            | Self::Faulted { lasts, .. } => vec![lasts],
            Self::PowerCut { lasts, .. } => lasts.iter_mut().collect(),
            Self::CleanStop { .. }
            | Self::Heal
            | Self::Reset { .. }
            | Self::HalfOpen { .. }
            | Self::Stuck { .. }
            | Self::SecondConnection
            | Self::JournalForgets { .. }
            | Self::WallJump { .. }
            | Self::Drift { .. }
            | Self::ActorKilled { .. }
            | Self::Switch { .. }
            | Self::SwitchAtBoth
            | Self::Hold { .. } => Vec::new(),
        }
    }
}

/// In words of the domain.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |node: &usize| ["the Master", "the Backup"][*node];
        let ms = |us: &u64| format!("{} ms", *us as f64 / 1000.0);
        let back = |lasts: &u64, returns: &Returns| format!("it comes back after {}{}", ms(lasts), words(*returns));
        match self {
            Self::Crash { node, lasts, written, returns } => {
                let back = back(lasts, returns);
                write!(f, "{} is killed, {written} % of what was on its way is written; {back}", name(node))
            }
            Self::PowerOff { node, lasts, written, returns } => {
                let back = back(lasts, returns);
                write!(f, "{} loses power, {written} % of what was on its way is written; {back}", name(node))
            }
            Self::PowerCut { lasts: [one, other], written: [a, b] } => {
                let (one, other) = (ms(one), ms(other));
                write!(
                    f,
                    "power is cut at both nodes, {a} % and {b} % of what was on its way is written; the Master "
                )?;
                write!(f, "comes back after {one}, the Backup after {other}")
            }
            Self::CleanStop { node, returns } => {
                write!(f, "{} is stopped in order and started again{}", name(node), words(*returns))
            }
            Self::Pause { node, lasts } => write!(f, "{} stands still for {}", name(node), ms(lasts)),
            Self::Cut { to: None, lasts } => write!(f, "the cable is cut for {}", ms(lasts)),
            Self::Cut { to: Some(to), lasts } => {
                write!(f, "the cable is cut from {} to {} for {}", name(&(1 - to)), name(to), ms(lasts))
            }
            Self::Heal => write!(f, "the network is whole again"),
            Self::Delay { more, lasts } => write!(f, "the network takes {} more for {}", ms(more), ms(lasts)),
            Self::SlowLink { bytes_per_ms, lasts } => {
                write!(f, "the network carries {bytes_per_ms} bytes a millisecond for {}", ms(lasts))
            }
            Self::Reset { bulk, late: [one, other] } => {
                let (one, other) = (ms(one), ms(other));
                write!(f, "the {} is reset; the Master hears of it after {one}, the Backup after {other}", kind(*bulk))
            }
            Self::HalfOpen { node } => {
                write!(f, "{} loses its end of the link, the other node is not told", name(node))
            }
            Self::Stuck { bulk } => write!(f, "the {} carries nothing any more, and nobody is told", kind(*bulk)),
            Self::SecondConnection => write!(f, "the Backup connects again, though its link stands"),
            Self::DiskFull { node, lasts } => write!(f, "the disk of {} is full for {}", name(node), ms(lasts)),
            Self::DiskSlow { node, more, lasts } => {
                let more = ms(more);
                write!(f, "the disk of {} takes {more} more for each operation for {}", name(node), ms(lasts))
            }
            Self::JournalFails { node, lasts } => {
                write!(f, "the journal of {} cannot be written or read for {}", name(node), ms(lasts))
            }
            Self::JournalForgets { node, keeps } => {
                write!(f, "the journal of {} drops all but its newest {keeps} entries", name(node))
            }
            Self::WallJump { node, by_ms } => write!(f, "the wall clock of {} is set by {by_ms} ms", name(node)),
            Self::Drift { node, ppm } => {
                write!(f, "the steady clock of {} runs too fast by {ppm} millionths from now on", name(node))
            }
            Self::ActorKilled { node, actor, lasts } => {
                write!(f, "{actor:?} of {} panics and works again after {}", name(node), ms(lasts))
            }
            Self::TornBy { node, actor, lasts, written } => {
                let end = format!("the node ends, {written} % of what was on its way is written");
                let (name, after) = (name(node), ms(lasts));
                write!(f, "{actor:?} of {name} panics over what it reads next: {end}; it comes back after {after}")
            }
            Self::Switch { node } => write!(f, "Switch is pressed at {}", name(node)),
            Self::SwitchAtBoth => write!(f, "Switch is pressed at both nodes"),
            Self::Hold { node, ms } => write!(f, "a hold of {ms} ms begins at {}", name(node)),
            Self::Faulted { node, lasts } => {
                write!(f, "an actor of {} keeps failing, the operator clears it after {}", name(node), ms(lasts))
            }
        }
    }
}

fn words(returns: Returns) -> &'static str {
    match returns {
        Returns::AsItWas => "",
        Returns::WithoutDisk => " with an empty disk",
        Returns::WithOtherProject => " with another project",
        Returns::WithOtherLicense => " with another licence",
    }
}

fn kind(bulk: bool) -> &'static str {
    if bulk { "bulk connection" } else { "link" }
}
