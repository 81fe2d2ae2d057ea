//! What holds at every moment, each with an id: checked after every event of the simulation.
//!
//! Each check is a function of a small observation and says what is wrong.

use std::fmt;

use crate::alarms::EventId;
use crate::lineage::Lineage;
use crate::types::{Epoch, NodeId, Seq};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub id: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

fn holds(id: &'static str, so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if so { Ok(()) } else { Err(Violation { id, what: what() }) }
}

/// A tenure that begins at a node.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// The node.
    pub node: NodeId,
    /// Its new tenure.
    pub epoch: Epoch,
    /// The greatest counter under which this node ever led, in any process. 0: it never did.
    pub greatest_led: u64,
    /// The greatest counter that is stored or reserved on its disk now.
    pub on_disk: u64,
}

/// `EPOCH-1` one node an epoch; `EPOCH-2` a node's counter only grows, also across restarts; `EPOCH-3` nothing is led
/// under an epoch that is neither stored nor reserved on disk.
pub fn tenure_begins(seen: &Beginning) -> Result<(), Violation> {
    let Beginning { node, epoch, greatest_led, on_disk } = *seen;
    holds("EPOCH-1", epoch.node == node, || format!("{node} leads under {epoch}"))?;
    holds("EPOCH-2", epoch.counter > greatest_led, || format!("{node} leads under {epoch} after {greatest_led}"))?;
    holds("EPOCH-3", epoch.counter <= on_disk, || format!("{node} leads under {epoch}, on its disk is {on_disk}"))
}

/// `LEAD-1` two nodes that see each other don't both take writes for longer than an exchange. `both_for_us`: for how
/// long they do, in microseconds.
pub fn one_leads(both_for_us: u64, exchange_us: u64) -> Result<(), Violation> {
    holds("LEAD-1", both_for_us <= exchange_us, || {
        format!("both nodes take writes for {both_for_us} us on an open link, an exchange takes {exchange_us} us")
    })
}

/// `LEAD-2` whoever takes Running by a Switch, or by recovery, holds all that the other one had.
pub fn holds_what_was_offered(equal: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("LEAD-2", equal, what)
}

/// `LEAD-3` nobody begins to run beside a peer that runs on an open link. `beside_for_us`: for how long the peer runs on
/// it, in microseconds; none: it does not.
pub fn not_beside_a_running_peer(node: NodeId, beside_for_us: Option<u64>, exchange_us: u64) -> Result<(), Violation> {
    holds("LEAD-3", beside_for_us.is_none_or(|us| us <= exchange_us), || {
        format!("{node} begins to run beside its peer, which runs on an open link for {beside_for_us:?} us")
    })
}

/// `EPOCH-4` a promotion takes a counter above every one that its process has seen.
pub fn above_all_seen(node: NodeId, epoch: Epoch, seen: u64) -> Result<(), Violation> {
    holds("EPOCH-4", epoch.counter > seen, || format!("{node} leads under {epoch}, it has seen {seen}"))
}

/// `EPOCH-5` no entry is written under an epoch that is not on disk.
pub fn written_under_a_stored_epoch(node: NodeId, epoch: Epoch, on_disk: u64) -> Result<(), Violation> {
    holds("EPOCH-5", epoch.counter <= on_disk, || {
        format!("{node} writes an entry under {epoch}, on its disk is {on_disk}")
    })
}

/// `EPOCH-6` a tenure goes on with the history of its node's data: `before` is every tenure that this went through, and
/// `begun` the same with one more.
pub fn goes_on_with_its_history(node: NodeId, before: &Lineage, begun: &Lineage) -> Result<(), Violation> {
    let fork = begun.forks().last().copied();
    let so = fork.is_some_and(|fork| before.promoted(fork) == *begun);
    holds("EPOCH-6", so, || format!("{node} leads by {begun:?}, and its data went through {before:?}"))
}

/// `TAKE-1` a peer that is silent is taken over when the failover time has passed since its last sign of life.
pub fn silent_long_enough(node: NodeId, silent_ms: u64, failover_time_ms: u64) -> Result<(), Violation> {
    holds("TAKE-1", silent_ms >= failover_time_ms, || {
        format!(
            "{node} took over {silent_ms} ms after the last sign of life, the failover time is {failover_time_ms} ms"
        )
    })
}

/// `TAKE-2` a peer that counts as proven dead is or was dead, and that counts with fast failover only.
pub fn dead_indeed(node: NodeId, dead: bool, fast_failover: bool) -> Result<(), Violation> {
    holds("TAKE-2", dead && fast_failover, || {
        format!("{node} took over for a proof of death: it is dead: {dead}, fast failover: {fast_failover}")
    })
}

/// `TAKE-3` nobody takes over, and nobody recovers, while a maintenance hold is in force.
pub fn no_hold(node: NodeId, held: bool, why: &str) -> Result<(), Violation> {
    holds("TAKE-3", !held, || format!("{node} runs under a maintenance hold: {why}"))
}

/// `TAKE-4` a node that stood still for longer than the failover time takes no write before its peer answered, or was
/// silent for the failover time.
pub fn fenced(node: NodeId, wrote: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("TAKE-4", !wrote, || format!("{node} took a write after it stood still: {}", what()))
}

/// `TAKE-5` a Running node that is stopped cleanly while its peer is ready switches first.
pub fn stops_by_a_switch(node: NodeId, so: bool) -> Result<(), Violation> {
    holds("TAKE-5", so, || format!("{node} stopped without a switch, though its peer was ready"))
}

/// `SWITCH-1` having offered Running, a node does not go on under the same epoch before its peer has said that it will not
/// take it, or was met anew, or has gone.
pub fn resumes_what_nobody_takes(node: NodeId, so: bool) -> Result<(), Violation> {
    holds("SWITCH-1", so, || format!("{node} takes writes again, though its peer may take what it was offered"))
}

/// `SWITCH-2` a node that has declined an offer does not take it.
pub fn takes_what_it_did_not_decline(node: NodeId, so: bool) -> Result<(), Violation> {
    holds("SWITCH-2", so, || format!("{node} took an offer that it had declined"))
}

/// `DUAL-1` of two Running nodes the right one stays: with automatic recovery the Master, with manual the higher epoch,
/// and the Backup of equal ones.
pub fn the_right_one_stays(node: NodeId, so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("DUAL-1", so, || format!("{node} stays: {}", what()))
}

/// `DUAL-2` it goes on under an epoch above both, and the other one has stopped before.
pub fn goes_on_above_both(epoch: Epoch, both: [u64; 2], other_leads: bool) -> Result<(), Violation> {
    let above = both.iter().all(|counter| epoch.counter > *counter);
    holds("DUAL-2", above && !other_leads, || {
        format!("it goes on under {epoch} after {both:?}, the other one still takes writes: {other_leads}")
    })
}

/// `RECOVERY-1` automatic recovery never runs before the sync.
pub fn recovers_in_sync(equal: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("RECOVERY-1", equal, what)
}

/// `RECOVERY-2` a Master that crashes in a loop recovers three times in ten minutes.
pub fn recovers_seldom(times: usize) -> Result<(), Violation> {
    holds("RECOVERY-2", times <= 3, || format!("{times} automatic recoveries in ten minutes"))
}

/// `SYNC-1` when nothing is under way, a follower in sync holds the same values as its leader.
pub fn in_sync_is_equal(equal: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("SYNC-1", equal, what)
}

/// `SYNC-2` while a node leads, or stays in sync with one leader, no tag goes back to an older change.
pub fn changes_go_forward(tag: &str, before: Seq, after: Seq) -> Result<(), Violation> {
    holds("SYNC-2", after >= before, || format!("{tag} went from change {before} back to {after}"))
}

/// `SYNC-3` a follower says that it is in sync when it holds what there was when its sync began.
pub fn in_sync_has_all(applied: Seq, began_at: Seq) -> Result<(), Violation> {
    holds("SYNC-3", applied >= began_at, || {
        format!("a follower is in sync at change {applied}, its sync began when there were {began_at}")
    })
}

/// `READY-1` the page never shows a pair as ready for a failover whose Standby is not in sync. `unready_for_us`: since
/// when it is not, on an open link, in microseconds.
pub fn ready_is_in_sync(unready_for_us: u64, exchange_us: u64) -> Result<(), Violation> {
    holds("READY-1", unready_for_us <= exchange_us, || {
        format!("shown as ready for a failover, and the Standby is not in sync for {unready_for_us} us")
    })
}

/// `READY-2` nor one whose Standby lacks a write that was answered as done. `lacks_for_us`: since when.
pub fn ready_has_what_was_answered(tag: &str, lacks_for_us: u64, exchange_us: u64) -> Result<(), Violation> {
    holds("READY-2", lacks_for_us <= exchange_us, || {
        format!("shown as ready for a failover, and the Standby lacks a write of {tag} answered {lacks_for_us} us ago")
    })
}

/// `WRITE-1` a write that was answered `replicated: true` outlives any single failure: `held` is the same write or a
/// later one. Both are places in the order in which writes were carried out.
pub fn replicated_is_kept(tag: &str, answered: u64, held: u64) -> Result<(), Violation> {
    holds("WRITE-1", held >= answered, || {
        format!("{tag}: the {answered}th write was answered as replicated, what is held is the {held}th")
    })
}

/// `WRITE-2` an operation id that was answered is not carried out again.
pub fn once(operation: &str, carried_out_again: bool) -> Result<(), Violation> {
    holds("WRITE-2", !carried_out_again, || format!("{operation} was carried out again"))
}

/// `WRITE-3` every client is answered in time. `waits_us` in microseconds.
pub fn answered(what: &str, waits_us: u64, limit_us: u64) -> Result<(), Violation> {
    holds("WRITE-3", waits_us <= limit_us, || format!("{what} waits for its answer since {waits_us} us"))
}

/// `WRITE-4` what was written is held, was written over, or stands in a divergence report: never dropped in silence.
pub fn accounted_for(tag: &str, value: i64, is: bool) -> Result<(), Violation> {
    holds("WRITE-4", is, || format!("{tag}: the written value {value} is gone without a trace"))
}

/// `WRITE-5` a write of a retained tag that is answered as done is on the disk of a node, and with `replicated: true` on
/// both.
pub fn retained_is_stored(tag: &str, value: i64, replicated: bool, stored: [bool; 2]) -> Result<(), Violation> {
    let [one, other] = stored;
    let so = if replicated { one && other } else { one || other };
    holds("WRITE-5", so, || {
        format!("{tag} = {value} was answered with replicated: {replicated}, it is stored at {stored:?}")
    })
}

/// `WRITE-6` a write that is answered as replicated is in the table of the peer at that moment.
pub fn replicated_is_there(tag: &str, value: i64, there: bool) -> Result<(), Violation> {
    holds("WRITE-6", there, || format!("{tag} = {value} was answered as replicated, the peer does not have it"))
}

/// `WRITE-7` of two values that were written apart the newer one by source time survives.
pub fn newer_survives(tag: &str, so: bool) -> Result<(), Violation> {
    holds("WRITE-7", so, || format!("{tag}: the older value survived, and the newer one gave way"))
}

/// `HISTORY-n`: what clients see, see the simulation's `history.rs`.
pub fn as_clients_see(id: &'static str, so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds(id, so, what)
}

/// `BOUND-1` no queue grows beyond its limit.
pub fn bounded(queue: &str, length: usize, limit: usize) -> Result<(), Violation> {
    holds("BOUND-1", length <= limit, || format!("{queue} holds {length}, its limit is {limit}"))
}

/// `HEAL-2` and it works: what a client writes at either node is done, and replicated.
pub fn works(so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("HEAL-2", so, what)
}

/// `HEAL-1` when nothing fails any more, the pair becomes one Running and one Standby that is in sync. `missing`: what
/// is not so yet.
pub fn healed(missing: Option<String>) -> Result<(), Violation> {
    match missing {
        None => Ok(()),
        Some(what) => holds("HEAL-1", false, || what),
    }
}

/// `HEAL-3` and it stays so: no sync begins anew while nothing happens.
pub fn stays_in_sync(so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("HEAL-3", so, what)
}

/// `ALARM-1` what an operator did and was answered as done is in the journal of the node that did it, and with
/// `replicated: true` in that of both. `stored`: whether it is on the disk of each.
pub fn acknowledgement_is_stored(operation: &str, replicated: bool, stored: [bool; 2]) -> Result<(), Violation> {
    let [one, other] = stored;
    let so = if replicated { one && other } else { one || other };
    holds("ALARM-1", so, || {
        format!("{operation} was answered with replicated: {replicated}, it is stored at {stored:?}")
    })
}

/// `ALARM-2` when nothing fails any more, both journals hold the same entries, both tables are equal and take all of them
/// into account, and agree with the values. `missing`: what is not so yet.
pub fn alarms_are_united(missing: Option<String>) -> Result<(), Violation> {
    match missing {
        None => Ok(()),
        Some(what) => holds("ALARM-2", false, || what),
    }
}

/// `ALARM-3` a log has no gaps, and an entry never changes: at most one has its place.
pub fn log_is_whole(so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("ALARM-3", so, what)
}

/// `ALARM-4` an event id names one occurrence of one alarm, and what is asked for concerns that one.
pub fn one_occurrence(event: EventId, so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("ALARM-4", so, || format!("{event}: {}", what()))
}

/// `ALARM-5` a node that takes an acknowledgement into account does not show its occurrence as unacknowledged. `place`:
/// the acknowledgement that is lost.
pub fn stays_acknowledged(alarm: &str, event: EventId, place: (Epoch, u64)) -> Result<(), Violation> {
    holds("ALARM-5", false, || {
        format!("{alarm}: {event} is unacknowledged, though entry {} of {} is taken into account", place.1, place.0)
    })
}

/// `ALARM-6` when nothing is under way, a follower in sync has the alarms of its leader, and every entry of its journal.
pub fn in_sync_has_the_same_alarms(different: Option<String>) -> Result<(), Violation> {
    match different {
        None => Ok(()),
        Some(what) => holds("ALARM-6", false, || what),
    }
}

/// `ALARM-7` a node writes into the log of its own present tenure only, and only while it leads.
pub fn writes_as_leader(node: NodeId, origin: Epoch, may: bool) -> Result<(), Violation> {
    holds("ALARM-7", may, || format!("{node} wrote into the log of {origin}"))
}

/// `ALARM-8` a takeover neither clears nor raises an alarm whose condition did not change, and delays go on.
pub fn takeover_changes_nothing(so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("ALARM-8", so, what)
}

/// `ALARM-9` an alarm is not raised twice for one excursion: before it is raised again it clears.
pub fn raised_once(alarm: &str, so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("ALARM-9", so, || format!("{alarm} is raised twice for one excursion: {}", what()))
}

/// `ALARM-10` in one log an occurrence is raised, cleared and acknowledged once each.
pub fn said_once(so: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("ALARM-10", so, what)
}

/// `ALARM-11` two nodes that see the same occurrence give it the same id: it is derived, not drawn.
pub fn event_is_derived(said: EventId, derived: EventId) -> Result<(), Violation> {
    holds("ALARM-11", said == derived, || format!("{said} is written, from the occurrence follows {derived}"))
}
