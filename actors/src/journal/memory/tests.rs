use super::*;
use hotpair_core::alarms::{AckMode, AlarmKind, AlarmPriority, EntryKind, EventId};
use hotpair_core::types::NodeId;

const NOW: UnixMillis = UnixMillis(1_767_600_000_000);
const LOG: Epoch = Epoch { counter: 1, node: NodeId(7) };

fn entries(positions: impl IntoIterator<Item = u64>) -> JournalBatch {
    let entry = |position| AlarmEntry {
        origin: LOG,
        position,
        kind: EntryKind::Raised,
        event: EventId(u128::from(position)),
        number: position,
        path: Arc::from("Plant/A"),
        name: Arc::from("System"),
        alarm: AlarmKind::System,
        priority: AlarmPriority::Low,
        ack_mode: AckMode::Manual,
        description: Arc::from(""),
        time: NOW,
        active: true,
        acked: false,
        active_time: NOW,
        value: None,
        node: LOG.node,
        operator: Arc::from(""),
        comment: Arc::from(""),
        operation: None,
        shelved_ms: 0,
    };
    JournalBatch {
        entries: positions.into_iter().map(|position| Arc::new(entry(position))).collect(),
        ..Default::default()
    }
}

fn append(journal: &MemoryJournal, batch: JournalBatch) -> Result<(), DiskError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    journal.append(batch, Box::new(move |result| sender.send(result).unwrap()));
    receiver.try_recv().expect("done runs on the caller's thread")
}

fn read(journal: &MemoryJournal, from: u64, max: usize) -> Result<Vec<u64>, DiskError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    journal.read(LOG, from, max, Box::new(move |result| sender.send(result).unwrap()));
    receiver.try_recv().unwrap().map(|found| found.iter().map(|entry| entry.position).collect())
}

#[test]
fn what_failed_is_not_there_and_what_follows_it_does_not_fit() {
    let journal = MemoryJournal::new();
    append(&journal, entries([1, 2])).unwrap();
    journal.fail_with(Some("The disk is full."));
    assert_eq!(append(&journal, entries([3])).unwrap_err().to_string(), "The disk is full.");
    assert!(read(&journal, 1, 9).is_err());
    assert_eq!(journal.trouble().unwrap(), "The disk is full.");
    journal.fail_with(None);
    assert!(append(&journal, entries([4])).unwrap_err().to_string().contains("does not follow entry 2"));
    append(&journal, entries([3, 4])).unwrap();
    assert_eq!(journal.trouble(), None);
    assert_eq!((journal.held(), read(&journal, 2, 2)), ([(LOG, 4)].into(), Ok(vec![2, 3])));
}

#[test]
fn only_the_newest_are_kept_and_positions_are_not_forgotten() {
    let journal = MemoryJournal::keeping(3);
    append(&journal, entries(1..=5)).unwrap();
    append(&journal, entries(1..=6)).unwrap();
    assert_eq!((read(&journal, 1, 99), journal.held()), (Ok(vec![4, 5, 6]), [(LOG, 6)].into()));
    assert_eq!(journal.entries().len(), 3);
}
