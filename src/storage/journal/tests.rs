//! What was answered is there, what is there is whole, and clients see it in order.

pub(super) mod crash;
mod damage;
mod full;
mod model;
mod prune;
mod query;
mod thread;

use std::sync::mpsc;
use std::time::Duration;

use hotpair_actors::journal::KEPT_ENTRIES;
use hotpair_core::alarms::{
    AckMode, AlarmKey, AlarmKind, AlarmPriority, EntryKind, EventId, LimitLevel, Occurrence, PendingKind,
    PortablePending, PortableShelf, PortableState,
};
use hotpair_core::types::NodeId;
use hotpair_core::value::Value;

use super::*;

/// The wall clock of most tests.
const NOW: UnixMillis = UnixMillis(1_767_600_000_000);

fn tenure(counter: u64) -> Epoch {
    Epoch { counter, node: NodeId(u64::MAX - counter) }
}

/// An entry that nobody else has: position `position` of the log of `origin`, so many milliseconds after [`NOW`].
fn entry(origin: Epoch, position: u64) -> AlarmEntry {
    AlarmEntry {
        origin,
        position,
        kind: EntryKind::Acknowledged,
        event: EventId(u128::from(origin.counter) << 64 | u128::from(position)),
        number: position,
        path: Arc::from("Plant/Tank1/Level"),
        name: Arc::from("H"),
        alarm: AlarmKind::Limit(LimitLevel::H),
        priority: AlarmPriority::High,
        ack_mode: AckMode::Manual,
        description: Arc::from("Füllstand hoch"),
        time: UnixMillis(NOW.0 + position.cast_signed()),
        active: true,
        acked: true,
        active_time: NOW,
        value: Some(Value::Float64(80.5)),
        node: origin.node,
        operator: Arc::from("maria"),
        comment: Arc::from("seen"),
        operation: None,
        shelved_ms: 0,
    }
}

fn entries(origin: Epoch, positions: impl IntoIterator<Item = u64>) -> JournalBatch {
    let entries = positions.into_iter().map(|position| Arc::new(entry(origin, position))).collect();
    JournalBatch { entries, ..JournalBatch::default() }
}

fn state(number: u64) -> PortableState {
    PortableState { number, ..PortableState::default() }
}

fn shelf(path: &str, since: UnixMillis, for_ms: u64) -> PortableShelf {
    PortableShelf {
        path: Arc::from(path),
        event: EventId(5),
        since,
        for_ms,
        remaining_ms: for_ms,
        operator: Arc::from("maria"),
        comment: Arc::from("maintenance"),
    }
}

fn open(dir: &Path) -> (Journal, JournalFound) {
    Journal::open_at(dir, KEPT_ENTRIES, NOW).unwrap()
}

/// Calls `operation` and waits for what its `done` is told.
fn wait<T: Send + 'static>(operation: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
    let (sender, receiver) = mpsc::channel();
    operation(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv_timeout(Duration::from_secs(20)).expect("done is called")
}

fn append(journal: &dyn JournalStore, batch: JournalBatch) -> Result<(), DiskError> {
    wait(|done| journal.append(batch, done))
}

fn read(journal: &dyn JournalStore, origin: Epoch, from: u64, max: usize) -> Vec<AlarmEntry> {
    let found = wait(|done| journal.read(origin, from, max, done)).unwrap();
    found.into_iter().map(|entry| (*entry).clone()).collect()
}

fn everything() -> JournalQuery {
    JournalQuery { limit: usize::MAX, ..JournalQuery::default() }
}

/// Everything that a client can see.
fn shown(journal: &Journal) -> Vec<AlarmEntry> {
    journal.query(&everything()).unwrap()
}

#[test]
fn every_field_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, found) = open(dir.path());
    assert_eq!(found, JournalFound::default());
    let origin = Epoch { counter: i64::MAX as u64, node: NodeId(u64::MAX) };
    let plain = |position| entry(origin, position);
    let written = vec![
        AlarmEntry { event: EventId(u128::MAX), kind: EntryKind::Raised, ..plain(1) },
        AlarmEntry { event: EventId(0), kind: EntryKind::Cleared, number: u64::MAX, acked: false, ..plain(2) },
        AlarmEntry { alarm: AlarmKind::RateOfChange, value: None, operation: Some(Arc::from("op-1")), ..plain(3) },
        AlarmEntry { alarm: AlarmKind::System, value: Some(Value::Bool(true)), kind: EntryKind::Commented, ..plain(4) },
        AlarmEntry {
            value: Some(Value::Int64(i64::MIN)),
            priority: AlarmPriority::Critical,
            active: false,
            ..plain(5)
        },
        AlarmEntry { value: Some(Value::String(Arc::from("Füll\0stand"))), ack_mode: AckMode::Automatic, ..plain(6) },
        AlarmEntry { value: Some(Value::DateTime(UnixMillis(-1))), time: UnixMillis(i64::MAX), ..plain(7) },
        AlarmEntry { value: Some(Value::Float64(f64::NEG_INFINITY)), active_time: UnixMillis(i64::MIN), ..plain(8) },
        AlarmEntry { kind: EntryKind::Shelved, path: Arc::from("Plant/*"), shelved_ms: u64::MAX, ..plain(9) },
        AlarmEntry { kind: EntryKind::Unshelved, name: Arc::from(""), description: Arc::from(""), ..plain(10) },
        AlarmEntry { operator: Arc::from("x".repeat(128)), comment: Arc::from("\u{1F525}".repeat(256)), ..plain(11) },
        AlarmEntry { value: Some(Value::Float64(f64::NAN)), node: NodeId(0), ..plain(12) },
    ];
    let live = Occurrence {
        event: EventId(u128::MAX - 1),
        epoch: origin,
        active: true,
        acked: false,
        active_time: NOW,
        clear_time: Some(UnixMillis(-5)),
        ack_time: None,
        operator: Arc::from("maria"),
        comment: Arc::from("ö"),
        value: Some(Value::Int64(7)),
    };
    let pending = PortablePending { kind: PendingKind::Raise, since: NOW, value: None, remaining_ms: 7 };
    let full = PortableState {
        number: 3,
        live: Some(live),
        pending: None,
        armed: true,
        ended: Some((EventId(8), UnixMillis(9))),
    };
    let shelves = vec![shelf("Plant/*", NOW, 5000), shelf("over", UnixMillis(NOW.0 - 100), 100)];
    let batch = JournalBatch {
        entries: written.iter().cloned().map(Arc::new).collect(),
        states: vec![
            (AlarmKey(9), Some(PortableState { pending: Some(pending.clone()), ..full.clone() })),
            (AlarmKey(u128::MAX), Some(full.clone())),
            (AlarmKey(1), Some(PortableState { pending: Some(pending), ..PortableState::default() })),
        ],
        shelves: Some(shelves.clone()),
        included: [(origin, 12), (Epoch::NONE, 1)].into(),
        ..JournalBatch::default()
    };
    append(&journal, batch).unwrap();
    // Debug: a NaN equals nothing.
    assert_eq!(format!("{:?}", read(&journal, origin, 1, 100)), format!("{written:?}"));
    journal.close().unwrap();
    drop(journal);
    assert!(!dir.path().join("journal.db-wal").exists(), "a clean stop folds the log into the file");

    let (journal, found) = Journal::open_at(dir.path(), 100, UnixMillis(NOW.0 + 1000)).unwrap();
    assert_eq!(format!("{:?}", read(&journal, origin, 1, 100)), format!("{written:?}"));
    assert_eq!(format!("{:?}", read(&journal, origin, 3, 2)), format!("{:?}", &written[2..4]));
    assert_eq!(found.held, [(origin, 12)].into());
    assert_eq!(journal.positions(), Ok(found.held.clone()));
    assert_eq!(found.included, [(origin, 12), (Epoch::NONE, 1)].into());
    assert_eq!(found.states, [(AlarmKey(9), full.clone()), (AlarmKey(u128::MAX), full)]);
    assert_eq!(found.shelves, [PortableShelf { remaining_ms: 4000, ..shelves[0].clone() }]);
    assert_eq!(found.operations, [Arc::new(written[2].clone())]);
    let mut in_time = written.clone();
    in_time.sort_by_key(|entry| entry.time);
    assert_eq!(format!("{:?}", shown(&journal)), format!("{in_time:?}"));
}

#[test]
#[cfg(unix)]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (_journal, _) = open(dir.path());
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} can be read by others: {mode:o}");
    }
}

#[test]
fn each_commit_waits_for_the_disk_and_the_log_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = File::open(dir.path(), 1, NOW).unwrap();
    let pragma = |name: &str| -> String {
        file.connection.pragma_query_value(None, name, |row| Ok(format!("{:?}", row.get_ref(0)?))).unwrap()
    };
    assert_eq!(pragma("synchronous"), "Integer(2)");
    assert!(pragma("journal_mode").contains("[119, 97, 108]"), "not wal: {}", pragma("journal_mode"));
    assert_eq!(pragma("journal_size_limit"), "Integer(16777216)");
    assert_eq!(pragma("wal_autocheckpoint"), "Integer(1000)");
}

#[test]
fn shelvings_count_what_is_left_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let shelves = vec![shelf("a", NOW, 60_000), shelf("b", NOW, 10_000), shelf("c", NOW, u64::MAX)];
    append(&journal, JournalBatch { shelves: Some(shelves), ..JournalBatch::default() }).unwrap();
    drop(journal);
    for (after, left) in [
        (0, vec![("a", 60_000), ("b", 10_000)]),
        (9_999, vec![("a", 50_001), ("b", 1)]),
        (10_000, vec![("a", 50_000)]),
        (60_000, vec![]),
        // The clock was set back.
        (-1_000_000, vec![("a", 60_000), ("b", 10_000)]),
    ] {
        let (_, found) = Journal::open_at(dir.path(), 1, UnixMillis(NOW.0 + after)).unwrap();
        let mut found: Vec<_> = found.shelves.iter().map(|shelf| (&*shelf.path, shelf.remaining_ms)).collect();
        assert_eq!(found.pop().unwrap().0, "c");
        assert_eq!(found, left, "after {after} ms");
    }
}

#[test]
fn operations_of_the_last_ten_minutes_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let times = [-600_001, -600_000, -599_999, -1, 0, 5].into_iter().rev();
    let written: Vec<_> = (1..)
        .zip(times)
        .map(|(position, after)| {
            let operation = (after != -1).then(|| Arc::from(format!("op {after}")));
            Arc::new(AlarmEntry { time: UnixMillis(NOW.0 + after), operation, ..entry(tenure(1), position) })
        })
        .collect();
    append(&journal, JournalBatch { entries: written, ..JournalBatch::default() }).unwrap();
    drop(journal);
    let operations: Vec<_> =
        open(dir.path()).1.operations.iter().map(|entry| entry.operation.clone().unwrap()).collect();
    assert_eq!(operations.iter().map(|id| &**id).collect::<Vec<_>>(), ["op -599999", "op 0", "op 5"]);
}

#[test]
fn entries_that_are_held_change_nothing_and_none_leaves_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let (ours, theirs) = (tenure(1), tenure(2));
    append(&journal, entries(ours, 1..=5)).unwrap();
    append(&journal, entries(ours, 3..=7)).unwrap();
    append(&journal, entries(ours, [7, 8, 8, 9, 2])).unwrap();
    let again = Arc::new(AlarmEntry { comment: Arc::from("another one"), ..entry(ours, 4) });
    append(&journal, JournalBatch { entries: vec![again], ..JournalBatch::default() }).unwrap();
    let expected: Vec<_> = (1..=9).map(|position| entry(ours, position)).collect();
    assert_eq!((shown(&journal), read(&journal, ours, 1, 100)), (expected.clone(), expected));

    for (origin, positions) in [(ours, vec![11]), (ours, vec![10, 12]), (theirs, vec![2]), (theirs, vec![0])] {
        let mut batch = entries(origin, positions);
        batch.states = vec![(AlarmKey(1), Some(state(1)))];
        let refused = append(&journal, batch).unwrap_err().to_string();
        assert!(refused.contains("has no gaps, so nothing of its batch is stored"), "{refused}");
    }
    let refused = append(&journal, entries(ours, [11])).unwrap_err().to_string();
    assert!(
        refused.starts_with("Entry 11 of the log of tenure 1 of fffffffffffffffe does not follow entry 9"),
        "{refused}"
    );
    assert_eq!(journal.trouble(), None, "the disk is not to blame");
    append(&journal, entries(ours, [10])).unwrap();
    drop(journal);
    let (_, found) = open(dir.path());
    assert_eq!((found.held, found.states), ([(ours, 10)].into(), vec![]));
}

#[test]
fn a_log_goes_on_behind_what_is_gone_at_the_other_node() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let (ours, theirs) = (tenure(1), tenure(2));
    append(&journal, entries(ours, 1..=3)).unwrap();
    let skip = |origin, last| JournalBatch { skipped: [(origin, last)].into(), ..JournalBatch::default() };
    append(&journal, JournalBatch { entries: entries(ours, [8, 9]).entries, ..skip(ours, 7) }).unwrap();
    append(&journal, skip(theirs, 40)).unwrap();
    append(&journal, skip(ours, 5)).unwrap();
    assert!(append(&journal, entries(theirs, [40])).is_ok(), "it is held");
    append(&journal, entries(theirs, [41])).unwrap();
    let given = |from| read(&journal, ours, from, 100).iter().map(|entry| entry.position).collect::<Vec<_>>();
    assert_eq!((given(1), given(4)), (vec![1, 2, 3], vec![8, 9]));
    let expected: Positions = [(ours, 9), (theirs, 41)].into();
    drop(journal);
    // After a clean stop, and after one that was none.
    for _ in 0..2 {
        let (journal, found) = open(dir.path());
        assert_eq!(found.held, expected);
        std::mem::forget(journal);
    }
}

#[test]
fn numbers_that_no_file_can_hold_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let great = Epoch { counter: 1 << 63, node: NodeId(1) };
    let included = JournalBatch { included: [(tenure(1), u64::MAX)].into(), ..JournalBatch::default() };
    for batch in [entries(great, [1]), entries(tenure(1), [u64::MAX]), included] {
        let refused = append(&journal, batch).unwrap_err().to_string();
        assert!(refused.contains("above 2^63 - 1"), "{refused}");
    }
    assert!(read(&journal, great, 1, 10).is_empty() && read(&journal, tenure(1), u64::MAX, 10).is_empty());
    append(&journal, entries(tenure(1), [1])).unwrap();
}

#[test]
fn another_nodes_states_replace_all() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let states = |list: &[(u128, u64)]| -> Vec<_> {
        list.iter().map(|(key, number)| (AlarmKey(*key), (*number > 0).then(|| state(*number)))).collect()
    };
    let mut batch = entries(tenure(1), 1..=3);
    batch.states = states(&[(1, 1), (2, 1), (2, 2), (3, 9), (3, 0)]);
    batch.included = [(tenure(1), 3)].into();
    batch.shelves = Some(vec![shelf("a", NOW, 5000)]);
    append(&journal, batch).unwrap();
    append(&journal, JournalBatch { states: states(&[(1, 4)]), ..JournalBatch::default() }).unwrap();
    drop(journal);
    let (journal, found) = open(dir.path());
    assert_eq!(found.states, [(AlarmKey(1), state(4)), (AlarmKey(2), state(2))]);
    assert_eq!(found.included, [(tenure(1), 3)].into());

    let replace = JournalBatch {
        replace: true,
        states: states(&[(7, 7)]),
        included: [(tenure(2), 8)].into(),
        ..JournalBatch::default()
    };
    append(&journal, replace).unwrap();
    drop(journal);
    let (_, found) = open(dir.path());
    assert_eq!(found.states, [(AlarmKey(7), state(7))]);
    assert_eq!((found.included, found.held), ([(tenure(2), 8)].into(), [(tenure(1), 3)].into()));
    assert_eq!(found.shelves, [shelf("a", NOW, 5000)], "shelvings change only when they are given");
}
