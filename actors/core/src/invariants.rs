//! What holds at every moment, each with an id: checked after every event of the simulation.
//!
//! Each check is a function of a small observation and says what is wrong.

use std::fmt;

use crate::alarms::EventId;
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

/// `SYNC-1` when nothing is under way, a follower in sync holds the same values as its leader.
pub fn in_sync_is_equal(equal: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    holds("SYNC-1", equal, what)
}

/// `SYNC-2` while a node stays in sync with one leader, no tag goes back to an older change.
pub fn changes_go_forward(tag: &str, before: Seq, after: Seq) -> Result<(), Violation> {
    holds("SYNC-2", after >= before, || format!("{tag} went from change {before} back to {after}"))
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

/// `BOUND-1` no queue grows beyond its limit.
pub fn bounded(queue: &str, length: usize, limit: usize) -> Result<(), Violation> {
    holds("BOUND-1", length <= limit, || format!("{queue} holds {length}, its limit is {limit}"))
}

/// `HEAL-1` when nothing fails any more, the pair becomes one Running and one Standby that is in sync. `missing`: what
/// is not so yet.
pub fn healed(missing: Option<String>) -> Result<(), Violation> {
    match missing {
        None => Ok(()),
        Some(what) => holds("HEAL-1", false, || what),
    }
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
