//! Interesting states of which each must have been reached by some seed: a fault that never meets what it is meant for
//! proves nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::world::World;

/// From so many seeds on each state must have been reached.
const SEEDS_FOR_ALL: u64 = 2000;
/// These may still be missed by so many.
const RARE: &[State] =
    &[State::HigherEpochSeen, State::AbortTooLate, State::RecoverySuspended, State::WriteWaited, State::StopHandsOver];

macro_rules! states {
    ($($name:ident = $text:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum State { $($name,)+ }

        const TEXTS: &[&str] = &[$($text,)+];
    };
}

states! {
    DualRunningHealed = "two nodes were Running, and one stays",
    HigherEpochSeen = "a Running node meets a higher epoch and goes above it",
    SwitchDone = "a switch moved Running",
    SwitchCut = "the link is lost in the middle of a switch",
    SwitchWithdrawn = "a switch takes too long: its offer is withdrawn",
    SwitchRefused = "a switch is refused",
    AbortTooLate = "an offer is withdrawn when it was taken already",
    SyncInterrupted = "the bulk connection is lost in the middle of a sync",
    SyncRepeated = "a sync that was interrupted is repeated, and ends",
    FailoverByDeath = "failover by proof of death",
    FailoverByTime = "failover by silence",
    FailoverByGoodbye = "takeover from a peer that said goodbye",
    NobodyRan = "no node was Running, and one takes it",
    RecoveryDone = "automatic recovery of the Master",
    RecoverySuspended = "automatic recovery is suspended: three times were enough",
    BackupAlone = "the Backup runs after its wait",
    MasterAlone = "the Master runs after its wait",
    MasterMeetsRunning = "a starting Master meets a Running Backup",
    FresherFirst = "the stale node boots first and takes the other's data",
    Restarted = "a peer that was restarted is replaced when it greets",
    Fenced = "a node stood still and waits for its peer's word",
    FencedInVain = "a node stood still, and its peer took over",
    FaultHandsOver = "a local fault hands over",
    DiskHandsOver = "a disk that fails hands over",
    EpochNotStored = "an epoch cannot be stored",
    StopHandsOver = "a clean stop switches first",
    HeldBack = "a maintenance hold is in force when the peer is gone",
    WriteWaited = "a write is refused because a switch took too long",
    WriteUnknown = "the answer of a forwarded write is lost",
    WriteLate = "a write is answered without the peer's word, though it is in sync",
    WriteRefusedByDisk = "a write is refused because the disk fails",
    RepeatedAfterFailover = "an operation id is repeated after a failover, and done once",
    Divergence = "a divergence report",
    AckUnknown = "the answer of a forwarded acknowledgement is lost",
    AckAtStandby = "an acknowledgement made at the Standby is done",
    JournalsParted = "each side has journal entries that the other lacks",
    JournalsUnited = "such journals became one",
    AckCarriedOver = "an acknowledgement of the other side is carried over",
    ShelvedThroughFailover = "a shelving goes through a failover",
    DelayThroughFailover = "a delay that runs goes through a failover",
}

const COUNT: usize = TEXTS.len();

/// How often this seed reached each.
pub struct Seen(pub [u32; COUNT]);

impl Default for Seen {
    fn default() -> Self {
        Self([0; COUNT])
    }
}

static SEEDS: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
static TIMES: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];

impl World {
    pub fn reached(&mut self, state: State) {
        self.seen.0[state as usize] += 1;
    }
}

/// A seed is over.
pub fn count(seen: &Seen) {
    for (place, times) in seen.0.iter().enumerate().filter(|(_, times)| **times > 0) {
        SEEDS[place].fetch_add(1, Ordering::Relaxed);
        TIMES[place].fetch_add(u64::from(*times), Ordering::Relaxed);
    }
}

/// Prints how many seeds reached each state, and how often.
pub fn tell() {
    println!("{:>7} {:>8}  reached", "seeds", "times");
    for (place, text) in TEXTS.iter().enumerate() {
        let (seeds, times) = (SEEDS[place].load(Ordering::Relaxed), TIMES[place].load(Ordering::Relaxed));
        println!("{seeds:>7} {times:>8}  {text}");
    }
}

/// Of enough seeds each state must have been reached by one.
pub fn judge(seeds: u64) {
    let reached = SEEDS.each_ref().map(|seeds| seeds.load(Ordering::Relaxed) > 0);
    let is_rare = |place: usize| RARE.iter().any(|state| *state as usize == place);
    let missed = TEXTS.iter().enumerate().zip(reached).filter(|((place, _), reached)| !reached && !is_rare(*place));
    let never: Vec<_> = missed.map(|((_, text), _)| text).collect();
    assert!(seeds < SEEDS_FOR_ALL || never.is_empty(), "no seed of {seeds} reached: {never:?}");
}
