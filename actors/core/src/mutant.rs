//! Mistakes that can be switched on, so that the simulation proves that it would find them.
//!
//! Without the feature `mutants` [`on`] is a constant `false`, and nothing of this is in a program. With it each thread
//! chooses one mistake, or none.

/// Declares the mistakes, each with what is wrong.
macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A mistake that somebody could make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mutant {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

mutants! {
    // Who runs.
    /// A promotion takes effect before its epoch is stored.
    PromotionBeforeStore,
    /// The next counter counts as reserved when it is asked for, not when it is on disk.
    ReservedBeforeStored,
    /// A new epoch is one above the node's own, not above all that it has seen.
    EpochAboveOwnOnly,
    /// An epoch belongs to whoever ran last.
    EpochOfTheOther,
    /// A node that led last goes on under the same epoch when it is promoted anew.
    EpochNotRaised,
    /// A silent peer is taken over at once, without the failover time.
    TakeoverWithoutFailoverTime,
    /// A refused connection is a proof of death though fast failover is off.
    ProofAlthoughSlow,
    /// A maintenance hold forbids nothing.
    HoldIgnored,
    /// A starting node does not take the other's fresher data first.
    StartsWithoutFresherData,
    /// A starting Master runs beside a Running Backup.
    StartsBesideRunning,
    /// A promotion forgets the fork points before it.
    ForksForgotten,
    /// A node that stood still goes on as if nothing had been.
    NoFence,
    /// The fence ends after a moment.
    FenceTooShort,
    // Two Running nodes.
    /// Of two Running nodes the loser stays, too.
    LoserStays,
    /// Two Running nodes that meet go on, both of them.
    BothStay,
    /// Of two with equal epochs the Master stays, also with manual recovery.
    EqualEpochsToMaster,
    /// The winner goes on under its old epoch.
    WinnerKeepsEpoch,
    /// The winner does not wait until the loser has stopped.
    WinnerDoesNotWait,
    // Switch and recovery.
    /// The Standby takes an offer before it has applied everything.
    SwitchDoesNotDrain,
    /// The Running node takes writes while it gives Running away.
    WritesWhileQuiesced,
    /// An aborted switch leaves the node quiesced.
    AbortDoesNotResume,
    /// The old node runs again at the switch time-out, unconfirmed.
    AbortUnconfirmed,
    /// A Switch is answered as done when Running is offered.
    SwitchAnsweredEarly,
    /// The Standby confirms the abort and takes the offer all the same.
    AbortedOfferTaken,
    /// The old node goes on leading after it heard that the other one took Running.
    OldNodeLeadsOn,
    /// Automatic recovery does not wait for the sync.
    RecoveryBeforeSync,
    /// A Master that crashes in a loop recovers each time.
    RecoveryUnguarded,
    /// A clean stop does not switch first.
    StopWithoutSwitch,
    // Tags.
    /// A write is answered as replicated before the peer has it.
    ReplicatedBeforePeer,
    /// The watermark is one too high.
    WatermarkTooHigh,
    /// A sync counts as complete one batch early.
    TagSyncOneChunkEarly,
    /// When two nodes in sync compare their tables, one says something else than it holds.
    ComparedWrong,
    /// A follower in sync stamps what it gets with a time of its own.
    FollowerStamps,
    /// Now and then a change gets a number that was used before.
    NumbersGoBack,
    /// A value is rounded as it is written.
    ValueRounded,
    /// The Standby refuses writes instead of forwarding them.
    StandbyRefuses,
    /// Operation ids are forgotten at a takeover.
    OperationsForgotten,
    /// Operation ids are not given to the follower.
    OperationsNotSent,
    /// Retained writes are not persisted.
    RetainedNotPersisted,
    /// A retained write is answered before it is on disk.
    AnsweredBeforeDisk,
    /// A follower says that it has on disk what it has in memory.
    DurableIsApplied,
    /// What only this node has is dropped when it follows.
    DivergentDropped,
    /// Of two values the one of the other side survives, however old.
    OlderSurvives,
    /// What was united once is united again when it comes again.
    UnitedTwice,
    /// What a source says is taken by the Standby, too.
    StandbyPublishes,
    /// The follower's credit has no limit.
    WindowWithoutLimit,
    /// The outbox keeps changes, not tags.
    OutboxWithoutLimit,
    /// Writes that wait are refused and done all the same.
    RefusedIsDone,
    /// A forwarded write whose answer is lost is told to have failed.
    UnknownIsFailed,
    /// Nobody remembers that the follower lacks what was answered.
    LagForgotten,
    /// The pair is shown as ready although the Standby is not in sync.
    ReadyWithoutSync,
    /// The lineage of the leader is not stored.
    AdoptionNotStored,
    // Alarms.
    /// An acknowledgement is answered as replicated before the peer has it.
    AckBeforePeer,
    /// An acknowledgement is answered before it is on this node's disk.
    AckBeforeDisk,
    /// The follower has an entry on disk when it has it in memory.
    AlarmStoredIsApplied,
    /// Journals are united by time instead of position.
    UnionByTime,
    /// The follower counts as complete one log early.
    AlarmSyncOneChunkEarly,
    /// Event ids are drawn at random.
    EventIdRandom,
    /// Delays begin anew at a takeover.
    DelaysRestart,
    /// Operation ids of acknowledgements are not remembered by the follower.
    AckIdsForgotten,
    /// Acknowledgements of the other side of a split are not taken into account.
    AcksNotAbsorbed,
    /// What the other side of a split did is not absorbed at all.
    NothingAbsorbed,
    /// The Standby judges alarms, too.
    StandbyJudges,
    /// An alarm that is active is raised again at a takeover.
    RaisedAtTakeover,
    /// Entries are written into the log of a tenure to come.
    EntriesOfTheNextEpoch,
    /// States are not stored with their entries.
    StatesNotStored,
    /// Shelvings are not given to a follower.
    ShelvesNotSent,
    /// The Standby does what operators ask for by itself.
    StandbyOperates,
    /// An active alarm is raised again by each value beyond its limit.
    RaisedTwice,
    /// That an alarm cleared is written twice.
    ClearedTwice,
    /// Not every change of an alarm is given to the follower.
    AlarmNotSent,
    /// A comment is written twice.
    CommentedTwice,
    /// A second acknowledgement under another id is written, too.
    AcknowledgedTwice,
    /// An acknowledgement of an occurrence that is over goes to the present one.
    AckMovesOn,
}

#[cfg(feature = "mutants")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
    static COUNT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Whether this mistake is made.
#[cfg(feature = "mutants")]
pub fn on(mutant: Mutant) -> bool {
    CHOSEN.get() == Some(mutant)
}

/// Whether this mistake is made: never.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn on(mutant: Mutant) -> bool {
    let _ = mutant;
    false
}

/// From now on this thread makes that mistake.
#[cfg(feature = "mutants")]
pub fn choose(mutant: Option<Mutant>) {
    CHOSEN.set(mutant);
    COUNT.set(0);
}

/// Another number each time, for what is drawn at random by mistake.
#[cfg(feature = "mutants")]
pub fn drawn() -> u64 {
    COUNT.set(COUNT.get() + 1);
    COUNT.get().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// No number at all.
#[cfg(not(feature = "mutants"))]
pub const fn drawn() -> u64 {
    0
}
