//! Files that are torn, damaged, newer or somebody else's.

use std::fs;

use super::*;

const FILES: [&str; 2] = ["journal.db", "journal.db-wal"];

/// Batch `number` of a journal in which everything says how far it is.
fn batch(number: u64) -> JournalBatch {
    let mut batch = entries(tenure(1), [number * 2 - 1, number * 2]);
    batch.states = vec![(AlarmKey(1), Some(state(number))), (AlarmKey(u128::from(number)), Some(state(number)))];
    batch.included = [(tenure(1), number * 2)].into();
    batch
}

/// Files as a power cut would leave them after 40 batches: the first half in the file, the others in the log.
fn snapshot(into: &Path) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    for half in [1..=20, 21..=40] {
        let (journal, _) = open(dir.path());
        for number in half {
            append(&journal, batch(number)).unwrap();
        }
        for file in FILES {
            fs::copy(dir.path().join(file), into.join(file)).unwrap();
        }
    }
    (fs::read(into.join(FILES[0])).unwrap(), fs::read(into.join(FILES[1])).unwrap())
}

/// Opens these two files, and reads everything.
fn use_it(file: &[u8], log: &[u8]) -> Result<JournalFound, OpenError> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILES[0]), file).unwrap();
    fs::write(dir.path().join(FILES[1]), log).unwrap();
    let (journal, found) = Journal::open_at(dir.path(), 10, NOW)?;
    // They may fail, and must not panic.
    let _ = wait(|done| journal.read(tenure(1), 1, 100, done));
    let _ = journal.query(&JournalQuery::default());
    let _ = journal.query(&JournalQuery { path: vec!["*".into()], ..JournalQuery::default() });
    let next = found.held.get(&tenure(1)).copied().unwrap_or(0) / 2 + 1;
    let _ = append(&journal, batch(next));
    Ok(found)
}

fn assert_some_state(found: &JournalFound) {
    let last = found.held[&tenure(1)];
    assert!(last >= 40 && last.is_multiple_of(2), "{last}");
    assert_eq!(found.included, found.held);
    assert_eq!((found.states[0].1.number, found.states.len() as u64), (last / 2, last / 2));
}

#[test]
fn a_torn_or_damaged_log_gives_an_older_state() {
    let dir = tempfile::tempdir().unwrap();
    let (file, log) = snapshot(dir.path());
    let whole = use_it(&file, &log).unwrap();
    assert_eq!(whole.held, [(tenure(1), 80)].into());
    assert_some_state(&whole);
    let mut reached = Vec::new();
    for cut in (0..log.len()).step_by(log.len() / 40).chain([1, 31, 32, 33, log.len() - 1]) {
        let found = use_it(&file, &log[..cut]).unwrap();
        assert_some_state(&found);
        reached.push(found.held[&tenure(1)]);
        let mut damaged = log.clone();
        damaged[cut] ^= 0x55;
        assert_some_state(&use_it(&file, &damaged).unwrap());
    }
    assert!(reached.contains(&40) && reached.iter().any(|last| *last > 70), "{reached:?}");
}

#[test]
fn a_damaged_file_is_refused_or_read_but_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = snapshot(dir.path());
    let mut refused = 0;
    let places = (0..file.len()).step_by(file.len() / 150);
    for at in places.clone() {
        for damage in 0..2 {
            let mut damaged = file.clone();
            match damage {
                0 => damaged[at..(at + 64).min(file.len())].fill(0xFF),
                _ => damaged.truncate(at.max(1)),
            }
            if let Err(error) = use_it(&damaged, &[]) {
                refused += 1;
                let text = error.to_string();
                assert!(matches!(error, OpenError::Corrupt { .. }), "{text}");
                assert!(text.contains("journal.db") && text.contains("The peer has the data"), "{text}");
            }
        }
    }
    assert!(refused > places.count(), "only {refused} of the damages were found");
}

/// What is done to a whole journal of 20 entries by a program that knows SQLite.
fn tampered(sql: &str, clean: bool) -> (tempfile::TempDir, Result<(Journal, JournalFound), OpenError>) {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let mut written = batch(1);
    written.entries = entries(tenure(1), 1..=20).entries;
    written.shelves = Some(vec![shelf("a", NOW, 1000)]);
    Arc::make_mut(&mut written.entries[19]).operation = Some(Arc::from("op"));
    append(&journal, written).unwrap();
    drop(journal);
    let connection = rusqlite::Connection::open(dir.path().join(FILES[0])).unwrap();
    connection.execute_batch(sql).unwrap();
    if !clean {
        connection.execute_batch("UPDATE meta SET value = x'00' WHERE key = 'clean'").unwrap();
    }
    drop(connection);
    let opened = Journal::open_at(dir.path(), 10, NOW);
    (dir, opened)
}

#[test]
fn content_that_makes_no_sense_is_refused() {
    for (sql, clean, sentence) in [
        ("DELETE FROM meta", true, "mark of a clean stop is missing"),
        ("UPDATE origins SET last = 21", true, "does not end at 21"),
        ("UPDATE origins SET last = -1", true, "position -1"),
        ("UPDATE origins SET counter = -1", true, "tenure -1"),
        ("UPDATE origins SET node = x'01'", true, "damaged"),
        ("UPDATE included SET node = x'010203040506070809'", true, "damaged"),
        ("DELETE FROM entries WHERE position = 20", true, "does not end at 20"),
        ("DELETE FROM entries WHERE position = 7", false, "there are 19 entries from 1 to 20"),
        ("DELETE FROM origins", false, "it should end at 0"),
        ("UPDATE entries SET id = 9223372036854775807 WHERE id = 20", true, "9223372036854775807"),
        ("UPDATE entries SET id = -5 WHERE id = 1", true, "-5 to 20"),
        ("UPDATE states SET state = x'93'", true, "the state of alarm 0000"),
        ("UPDATE states SET state = x''", true, "the state of alarm 0000"),
        ("UPDATE states SET key = x'00' WHERE key > x'00'", true, "damaged"),
        ("UPDATE shelves SET shelf = x'c1'", true, "the shelving of a"),
        ("UPDATE entries SET entry = x'81a16101' WHERE operation IS NOT NULL", true, "entry 20 of the log of tenure 1"),
        (
            "UPDATE entries SET entry = (SELECT entry FROM entries WHERE position = 3) WHERE position = 20",
            true,
            "stands",
        ),
        ("DROP TABLE shelves", true, "no such table"),
        ("DROP TABLE entries", false, "no such table"),
    ] {
        let (_dir, opened) = tampered(sql, clean);
        let Err(error) = opened else { panic!("{sql} was not noticed") };
        let text = error.to_string();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{sql}: {text}");
        assert!(text.contains(sentence) && text.contains("journal.db"), "{sql}: {text}");
    }
}

#[test]
fn damage_that_is_found_while_it_works_is_a_sentence() {
    for sql in ["UPDATE entries SET entry = x'dfffffffff' WHERE position = 5", "DELETE FROM entries WHERE position = 5"]
    {
        let (_dir, opened) = tampered(sql, true);
        let (journal, _) = opened.unwrap();
        let refused = wait(|done| journal.read(tenure(1), 4, 10, done)).unwrap_err().to_string();
        assert!(refused.contains("journal.db") && refused.contains("entry 5 of the log"), "{refused}");
        assert_eq!(journal.trouble(), Some(refused));
        append(&journal, entries(tenure(1), [21])).unwrap();
        assert_eq!(journal.trouble(), None);
        assert_eq!(read(&journal, tenure(1), 18, 10).len(), 4);
    }
    let (_dir, opened) = tampered("UPDATE entries SET entry = x'c1' WHERE position = 19", true);
    let (journal, _) = opened.unwrap();
    for path in [vec![], vec!["*".to_string()]] {
        let refused = journal.query(&JournalQuery { path, ..JournalQuery::default() }).unwrap_err();
        assert!(refused.starts_with("Cannot read from ") && refused.contains("entry 19"), "{refused}");
    }
}

#[test]
fn foreign_and_newer_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILES[0]);
    fs::write(&file, b"temperature;12.5\n".repeat(100)).unwrap();
    let refusal = || Journal::open_at(dir.path(), 10, NOW).unwrap_err();
    assert!(matches!(refusal(), OpenError::Corrupt { .. }), "{}", refusal());
    fs::remove_file(&file).unwrap();
    // The file of tags is not one of the journal.
    drop(crate::storage::Storage::open(dir.path()).unwrap());
    fs::copy(dir.path().join("hotpair.db"), &file).unwrap();
    assert!(refusal().to_string().contains("another program"), "{}", refusal());
    fs::remove_file(&file).unwrap();
    drop(open(dir.path()));
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(refusal(), OpenError::Newer { found: 2, known: 1, .. }), "{}", refusal());
}

#[test]
fn later_versions_may_add_fields() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    append(&journal, entries(tenure(1), 1..=2)).unwrap();
    drop(journal);
    let connection = rusqlite::Connection::open(dir.path().join(FILES[0])).unwrap();
    let entry_of = |connection: &rusqlite::Connection| -> Vec<u8> {
        connection.query_row("SELECT entry FROM entries WHERE id = 2", [], |row| row.get(0)).unwrap()
    };
    let mut packed = entry_of(&connection);
    // A map of 21 fields (0xde, two bytes of length) becomes one of 22: the last one is "x": 7.
    assert_eq!(packed[..3], [0xde, 0, 21]);
    packed[2] = 22;
    packed.extend([0xa1, b'x', 7]);
    connection.execute("UPDATE entries SET entry = ?1 WHERE id = 2", [packed]).unwrap();
    drop(connection);
    let (journal, _) = open(dir.path());
    assert_eq!(shown(&journal), [entry(tenure(1), 1), entry(tenure(1), 2)]);
}
