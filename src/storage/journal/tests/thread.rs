//! The queue is bounded, each batch gets its own answer, and no caller can stop the thread.

use super::*;

/// Holds the journal's thread inside a `done` until the sender is used or dropped.
fn hold(journal: &Journal) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let done = move |_| {
        entered.send(()).unwrap();
        let _ = held.recv();
    };
    journal.append(JournalBatch::default(), Box::new(done));
    inside.recv().unwrap();
    release
}

type Results = Arc<Mutex<Vec<Result<(), DiskError>>>>;

fn collect() -> (Results, impl Fn() -> Appended) {
    let results = Arc::new(Mutex::new(Vec::new()));
    let sink = results.clone();
    (results, move || {
        let sink = sink.clone();
        Box::new(move |result| sink.lock().push(result))
    })
}

#[test]
fn what_waits_is_bounded_and_written_together() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let release = hold(&journal);
    let (results, done) = collect();
    for position in 1..=MAX_WAITING as u64 + 10 {
        journal.append(entries(tenure(1), [position]), done());
    }
    assert_eq!(*results.lock(), vec![Err(DiskError::too_slow()); 10]);
    let refused = Arc::new(Mutex::new(None));
    let sink = refused.clone();
    journal.read(tenure(1), 1, 1, Box::new(move |result| *sink.lock() = Some(result)));
    assert_eq!(*refused.lock(), Some(Err(DiskError::too_slow())));
    let before = std::time::Instant::now();
    drop(release);
    journal.close().unwrap();
    assert!(before.elapsed() < Duration::from_secs(5), "4096 commits one by one take longer");
    assert_eq!(results.lock().iter().filter(|result| result.is_ok()).count(), MAX_WAITING);
    assert_eq!(open(dir.path()).1.held, [(tenure(1), MAX_WAITING as u64)].into());
}

#[test]
fn many_entries_that_wait_are_bounded_but_one_batch_may_have_more() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let release = hold(&journal);
    let states = |count: usize| JournalBatch {
        states: (0..count).map(|key| (AlarmKey(key as u128), None)).collect(),
        ..JournalBatch::default()
    };
    let (results, done) = collect();
    journal.append(states(MAX_WAITING_ROWS + 1), done());
    journal.append(entries(tenure(1), [1]), done());
    assert_eq!(*results.lock(), [Err(DiskError::too_slow())]);
    drop(release);
    journal.close().unwrap();
    assert_eq!(*results.lock(), [Err(DiskError::too_slow()), Ok(())]);
}

#[test]
fn each_batch_of_a_group_has_its_own_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let release = hold(&journal);
    let (results, done) = collect();
    for (origin, positions) in [
        (tenure(1), vec![1, 2]),
        (tenure(2), vec![2]),
        (tenure(1), vec![3]),
        (tenure(1), vec![5]),
        (tenure(2), vec![1]),
    ] {
        journal.append(entries(origin, positions), done());
    }
    drop(release);
    // A read sees what was given before it.
    assert_eq!(read(&journal, tenure(1), 2, 9), [entry(tenure(1), 2), entry(tenure(1), 3)]);
    assert_eq!(results.lock().iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false, true]);
    assert_eq!(journal.positions().unwrap(), [(tenure(1), 3), (tenure(2), 1)].into());
}

#[test]
fn the_last_handle_may_be_dropped_by_a_done_and_a_done_may_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let journal = Arc::new(journal);
    journal.append(JournalBatch::default(), Box::new(|_| panic!("a test panics in its callback on purpose")));
    let (sender, receiver) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let last = journal.clone();
    journal.append(
        entries(tenure(1), [1]),
        Box::new(move |result| {
            may_go.recv().unwrap();
            drop(last);
            sender.send(result).unwrap();
        }),
    );
    drop(journal);
    go.send(()).unwrap();
    assert_eq!(receiver.recv().unwrap(), Ok(()));
    // The thread ends after that, and nobody can wait for it any more.
    let give_up = std::time::Instant::now() + Duration::from_secs(10);
    let found = loop {
        match Journal::open_at(dir.path(), KEPT_ENTRIES, NOW) {
            Ok((_, found)) => break found,
            Err(error) => assert!(std::time::Instant::now() < give_up, "{error}"),
        }
    };
    assert_eq!(found.held, [(tenure(1), 1)].into());
}

#[test]
fn a_closed_journal_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    append(&journal, entries(tenure(1), [1])).unwrap();
    journal.close().unwrap();
    let refused = append(&journal, entries(tenure(1), [2])).unwrap_err().to_string();
    assert!(refused.contains("closed"), "{refused}");
    assert!(wait(|done| journal.read(tenure(1), 1, 1, done)).is_err());
    assert!(journal.query(&JournalQuery::default()).unwrap_err().contains("closed"));
    journal.close().unwrap();
}

/// `cargo test -p hotpair --lib journal::tests::thread::measure -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn measure() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let (journal, _) = open(dir.path());
    let batch = |first: u64, count: u64| {
        let mut batch = entries(tenure(1), first..first + count);
        for (place, entry) in batch.entries.iter_mut().enumerate() {
            let new = Arc::make_mut(entry);
            new.kind = if place % 2 == 0 { EntryKind::Raised } else { EntryKind::Cleared };
            new.event = EventId::of_occurrence(AlarmKey(u128::from(new.position)), new.position, new.time);
            new.path = Arc::from(format!("Plant/Line{}/Level", new.position % 1000));
            batch.states.push((AlarmKey::of(&new.path, &new.name), Some(state(new.number))));
        }
        batch.included = [(tenure(1), first + count - 1)].into();
        batch
    };
    let mut next = 1;
    let mut run = |what: &str, batches: u64, each: u64, one_by_one: bool| {
        let given: Vec<_> = (0..batches).map(|number| batch(next + number * each, each)).collect();
        next += batches * each;
        let before = std::time::Instant::now();
        let mut longest = Duration::ZERO;
        let (sender, receiver) = mpsc::channel();
        for batch in given {
            let (sender, start) = (sender.clone(), std::time::Instant::now());
            journal.append(batch, Box::new(move |result| sender.send(result.map(|()| start.elapsed())).unwrap()));
            if one_by_one {
                longest = longest.max(receiver.recv().unwrap().unwrap());
            }
        }
        if !one_by_one {
            (0..batches).for_each(|_| longest = longest.max(receiver.recv().unwrap().unwrap()));
        }
        println!("{what}: {:?}, the longest answer {longest:?}", before.elapsed());
    };
    run("10,000 in batches of 100, all at once", 100, 100, false);
    run("10,000 in batches of 100, each awaited", 100, 100, true);
    run("1,000 entries, each awaited", 1000, 1, true);
    for round in 0..10 {
        run(&format!("100,000 more, {round}"), 1000, 100, true);
    }
    let wal = std::fs::metadata(dir.path().join("journal.db-wal")).unwrap().len();
    let file = std::fs::metadata(dir.path().join("journal.db")).unwrap().len();
    println!("file {} MiB, log {} MiB", file >> 20, wal >> 20);
    let ask = |what: &str, query: JournalQuery| {
        let before = std::time::Instant::now();
        let found = journal.query(&query).unwrap().len();
        let asked = before.elapsed();
        let before = std::time::Instant::now();
        println!("{what}: {found} in {asked:?}; counted {} in {:?}", journal.count(&query).unwrap(), before.elapsed());
    };
    let every = JournalQuery::default();
    let later = |ms| Some(UnixMillis(NOW.0 + ms));
    ask("the oldest", every.clone());
    ask("a range", JournalQuery { start: later(500_000), end: later(501_000), ..every.clone() });
    ask("the last page", JournalQuery { offset: 1_020_000, ..every.clone() });
    ask("an alarm", JournalQuery { path: vec!["Plant/Line77/Level".into()], ..every.clone() });
    ask("a pattern, 100,000 of it", JournalQuery { path: vec!["*/Line1*/*".into()], limit: 100_000, ..every });
    let before = std::time::Instant::now();
    journal.close().unwrap();
    println!("closed in {:?}", before.elapsed());
    for clean in [true, false] {
        let connection = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
        connection.execute("UPDATE meta SET value = ?1", [[u8::from(clean)]]).unwrap();
        drop(connection);
        let before = std::time::Instant::now();
        drop(open(dir.path()));
        println!("opened and closed, after a clean stop {clean}: {:?}", before.elapsed());
    }
    let before = std::time::Instant::now();
    let (journal, _) = Journal::open_at(dir.path(), 1000, NOW).unwrap();
    while journal.count(&JournalQuery::default()).unwrap() > 1100 {
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("1,000,000 forgotten in {:?}", before.elapsed());
}
