//! The oldest entries go, what is known of the logs stays.

use super::model::reference;
use super::*;

/// Waits until nothing more is to be forgotten.
fn settled(journal: &Journal, keep: u64) {
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    // Each read makes the thread look again.
    while journal.count(&JournalQuery::default()).unwrap() >= keep + keep / 10 {
        assert!(std::time::Instant::now() < give_up, "nothing is forgotten");
        read(journal, Epoch::NONE, 1, 1);
    }
}

#[test]
fn the_newest_entries_stay_and_positions_are_never_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open_at(dir.path(), 100, NOW).unwrap();
    append(&journal, entries(tenure(1), 1..=50)).unwrap();
    append(&journal, entries(tenure(2), 1..=5000)).unwrap();
    settled(&journal, 100);
    let left = read(&journal, tenure(2), 1, 10_000);
    assert!((100..110).contains(&left.len()), "{}", left.len());
    // A log loses its oldest entries, and never one in between.
    assert_eq!(left, (5001 - left.len() as u64..=5000).map(|position| entry(tenure(2), position)).collect::<Vec<_>>());
    assert!(read(&journal, tenure(1), 1, 100).is_empty());
    // What was forgotten does not come back, and the logs go on where they were.
    append(&journal, entries(tenure(1), 1..=50)).unwrap();
    assert!(append(&journal, entries(tenure(1), [52])).is_err());
    drop(journal);
    let (journal, found) = Journal::open_at(dir.path(), 100, NOW).unwrap();
    assert_eq!(found.held, [(tenure(1), 50), (tenure(2), 5000)].into());
    append(&journal, entries(tenure(1), [51])).unwrap();
    assert_eq!(read(&journal, tenure(1), 1, 100), [entry(tenure(1), 51)]);
    // A smaller number takes effect without anybody asking for it.
    drop(journal);
    let (journal, _) = Journal::open_at(dir.path(), 1, NOW).unwrap();
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    while shown(&journal) != [entry(tenure(1), 51)] {
        assert!(std::time::Instant::now() < give_up, "{:?}", shown(&journal).len());
        std::thread::yield_now();
    }
}

#[test]
fn what_was_hidden_is_shown_when_the_other_is_forgotten() {
    forgetting_shows_what_was_hidden(EntryKind::Raised);
    forgetting_shows_what_was_hidden(EntryKind::Acknowledged);
    forgetting_shows_what_was_hidden(EntryKind::Commented);
}

fn forgetting_shows_what_was_hidden(kind: EntryKind) {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open_at(dir.path(), 10, NOW).unwrap();
    let said = |origin, position, event| {
        let operation = Some(Arc::from("op"));
        Arc::new(AlarmEntry { kind, event: EventId(event), operation, ..entry(origin, position) })
    };
    let logs = [1, 2, 3].map(tenure);
    let mut given = Vec::new();
    for (place, origin) in logs.into_iter().enumerate() {
        for position in 1..=6u64 {
            given.push(said(origin, position, u128::from(position)));
            let batch = JournalBatch { entries: vec![given[given.len() - 1].clone()], ..JournalBatch::default() };
            append(&journal, batch).unwrap();
            let held: Vec<AlarmEntry> = logs.into_iter().flat_map(|log| read(&journal, log, 1, 99)).collect();
            assert!((given.len().min(10)..=11).contains(&held.len()));
            assert_eq!(shown(&journal), reference(&held, &everything()), "{place} {position}");
        }
    }
}
