//! What clients see.

use super::*;

fn at(origin: Epoch, position: u64, after: i64, path: &str) -> AlarmEntry {
    AlarmEntry { time: UnixMillis(NOW.0 + after), path: Arc::from(path), ..entry(origin, position) }
}

fn journal(dir: &Path, written: &[AlarmEntry]) -> Journal {
    let (journal, _) = open(dir);
    let entries = written.iter().cloned().map(Arc::new).collect();
    append(&journal, JournalBatch { entries, ..JournalBatch::default() }).unwrap();
    journal
}

#[test]
fn one_row_of_what_two_nodes_saw() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (Epoch { counter: 5, node: NodeId(1) }, Epoch { counter: 5, node: NodeId(u64::MAX) });
    let of = |origin, position, kind, event| AlarmEntry { kind, event: EventId(event), ..entry(origin, position) };
    let (raised, cleared, acked) = (EntryKind::Raised, EntryKind::Cleared, EntryKind::Acknowledged);
    // The log of the greater origin comes first, as it does after a split.
    let theirs =
        [of(second, 1, raised, 1), of(second, 2, acked, 1), of(second, 3, cleared, 1), of(second, 4, raised, 2)];
    let journal = journal(dir.path(), &theirs);
    assert_eq!(shown(&journal), theirs);
    let ours = [of(first, 1, raised, 1), of(first, 2, acked, 1), of(first, 3, raised, 3)];
    let batch = JournalBatch { entries: ours.iter().cloned().map(Arc::new).collect(), ..JournalBatch::default() };
    append(&journal, batch).unwrap();
    // Event 1 is raised once, by the smaller origin. It is acknowledged twice, for two operators did so.
    let expected = [&ours[0], &ours[1], &theirs[1], &ours[2], &theirs[2], &theirs[3]].map(Clone::clone);
    assert_eq!(shown(&journal), expected);
    assert_eq!(journal.count(&JournalQuery::default()), Ok(6));
    // In the logs nothing is missing.
    assert_eq!((read(&journal, first, 1, 9), read(&journal, second, 1, 9)), (ours.to_vec(), theirs.to_vec()));
}

#[test]
fn oldest_first_by_time_origin_and_position() {
    let dir = tempfile::tempdir().unwrap();
    let (low, high) = (Epoch { counter: 1, node: NodeId(7) }, Epoch { counter: 1, node: NodeId(1 << 63) });
    let later = Epoch { counter: 2, node: NodeId(0) };
    let written = [
        at(later, 1, 0, "a"),
        at(high, 1, 0, "a"),
        at(high, 2, -5, "a"),
        at(high, 3, 0, "a"),
        at(low, 1, 0, "a"),
        at(low, 2, 9, "a"),
    ];
    let journal = journal(dir.path(), &written);
    let order: Vec<_> = shown(&journal).iter().map(|entry| (entry.origin, entry.position)).collect();
    assert_eq!(order, [(high, 2), (low, 1), (high, 1), (high, 3), (later, 1), (low, 2)]);
}

#[test]
fn ranges_paths_and_pages() {
    let dir = tempfile::tempdir().unwrap();
    let written: Vec<_> = (1..=4000u64)
        .map(|number| at(tenure(1), number, number.cast_signed() / 4, &format!("Plant/Line{}/Level", number % 3)))
        .collect();
    let journal = journal(dir.path(), &written);
    let every = everything();
    let positions = |query: &JournalQuery| -> Vec<u64> {
        journal.query(query).unwrap().iter().map(|entry| entry.position).collect()
    };
    let time = |after| Some(UnixMillis(NOW.0 + after));
    // From the start on, before the end.
    let range = JournalQuery { start: time(10), end: time(12), ..every.clone() };
    assert_eq!(positions(&range), (40..48).collect::<Vec<_>>());
    assert_eq!(journal.count(&range), Ok(8));
    let nothing = JournalQuery { start: time(12), end: time(12), ..every.clone() };
    assert_eq!((positions(&nothing), journal.count(&nothing)), (vec![], Ok(0)));
    for (pattern, count) in
        [("Plant/Line1/Level", 1334), ("Plant/Line1/Level/H", 1334), ("*Line1*", 1334), ("*/Level", 4000), ("Plant", 0)]
    {
        let query = JournalQuery { path: vec![pattern.into(), "none".into()], ..every.clone() };
        assert_eq!((positions(&query).len(), journal.count(&query)), (count, Ok(count as u64)), "{pattern}");
    }
    // Pages put together are the whole, whatever their size.
    for path in [vec![], vec!["*Line2*".to_string()]] {
        let whole = positions(&JournalQuery { path: path.clone(), ..every.clone() });
        for size in [1, 7, 999, 1000, 1001, 4000] {
            let sample = if size == 1 { 40 } else { whole.len() };
            let pages: Vec<u64> = (0..sample)
                .step_by(size)
                .flat_map(|offset| {
                    positions(&JournalQuery { path: path.clone(), limit: size, offset: offset as u64, ..every.clone() })
                })
                .collect();
            assert_eq!(pages, whole[..sample.max(pages.len().min(sample))], "pages of {size}");
        }
        let past = JournalQuery { path, offset: 1 << 62, ..every.clone() };
        assert!(positions(&past).is_empty());
    }
    assert!(positions(&JournalQuery { limit: 0, ..every }).is_empty());
}

#[test]
fn a_reader_keeps_no_log_from_being_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    for round in 0..60u64 {
        append(&journal, entries(tenure(1), round * 500 + 1..=round * 500 + 500)).unwrap();
        assert_eq!(journal.query(&JournalQuery { limit: 10, ..JournalQuery::default() }).unwrap().len(), 10);
        assert_eq!(
            journal.count(&JournalQuery { path: vec!["*".into()], ..JournalQuery::default() }).unwrap(),
            round * 500 + 500
        );
    }
    let log = std::fs::metadata(dir.path().join("journal.db-wal")).unwrap().len();
    let file = std::fs::metadata(dir.path().join("journal.db")).unwrap().len();
    assert!(log < 6 << 20 && file > 8 << 20, "log {log}, file {file}");
}

#[test]
fn steps_that_end_between_rows_of_one_time() {
    let dir = tempfile::tempdir().unwrap();
    let logs = [tenure(1), tenure(2), Epoch { counter: 2, node: NodeId(0) }];
    let written: Vec<_> =
        (1..=1500u64).flat_map(|number| logs.map(|log| at(log, number, number.cast_signed() / 300, "a"))).collect();
    let journal = journal(dir.path(), &written);
    let mut expected = written;
    expected.sort_by_key(|entry| (entry.time, entry.origin, entry.position));
    assert!(shown(&journal) == expected);
    let by_path = JournalQuery { path: vec!["*".into()], ..everything() };
    assert!(journal.query(&by_path).unwrap() == expected);
}
