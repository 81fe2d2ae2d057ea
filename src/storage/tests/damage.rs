//! Files that are torn, damaged, newer or somebody else's.

use std::fs;
use std::path::Path;

use super::*;

const CHANGES: u64 = 40;
const TAGS: u64 = 7;

fn change(seq: Seq) -> RetainedItem {
    item(&format!("t{}", seq % TAGS), Value::String(format!("{seq}").repeat(20).into()), seq)
}

/// Files as a power cut would leave them after [`CHANGES`] changes: the first half in the file, the others in the log.
fn snapshot(into: &Path) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    for half in [1..=CHANGES / 2, CHANGES / 2 + 1..=CHANGES] {
        let (storage, _) = Storage::open(dir.path()).unwrap();
        for seq in half {
            retained(&storage, seq, vec![change(seq)]).unwrap();
        }
        for file in ["hotpair.db", "hotpair.db-wal"] {
            fs::copy(dir.path().join(file), into.join(file)).unwrap();
        }
    }
    (fs::read(into.join("hotpair.db")).unwrap(), fs::read(into.join("hotpair.db-wal")).unwrap())
}

/// Opens a folder with these two files.
fn open(database: &[u8], log: &[u8]) -> Result<Recovered, OpenError> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("hotpair.db"), database).unwrap();
    fs::write(dir.path().join("hotpair.db-wal"), log).unwrap();
    Storage::open(dir.path()).map(|(_, found)| found)
}

/// The state after some change, not before the newest one in the file and not a mixture.
fn assert_some_state(found: &Recovered) {
    assert!((CHANGES / 2..=CHANGES).contains(&found.durable), "{}", found.durable);
    let mut expected: Vec<_> = (found.durable + 1 - TAGS..=found.durable).collect();
    expected.sort_by_key(|seq| seq % TAGS);
    assert_eq!(found.retained, expected.into_iter().map(change).collect::<Vec<_>>());
}

#[test]
fn a_torn_or_damaged_log_gives_an_older_state() {
    let dir = tempfile::tempdir().unwrap();
    let (database, log) = snapshot(dir.path());
    let whole = open(&database, &log).unwrap();
    assert_eq!((whole.durable, whole.previous_shutdown_clean), (CHANGES, false));
    assert_some_state(&whole);
    let mut reached = Vec::new();
    for cut in (0..log.len()).step_by(log.len() / 60).chain([1, 31, 32, 33, log.len() - 1]) {
        let found = open(&database, &log[..cut]).unwrap();
        assert_some_state(&found);
        assert_eq!(found.node, whole.node);
        reached.push(found.durable);

        let mut damaged = log.clone();
        damaged[cut] ^= 0x55;
        assert_some_state(&open(&database, &damaged).unwrap());
        let mut garbage = log.clone();
        garbage[cut..].fill(0xA5);
        assert_some_state(&open(&database, &garbage).unwrap());
    }
    assert!(reached.contains(&(CHANGES / 2)) && reached.iter().any(|durable| *durable > CHANGES - 5));
}

#[test]
fn a_damaged_file_is_refused_or_read_but_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (database, _) = snapshot(dir.path());
    let mut refused = 0;
    for at in (0..database.len()).step_by(database.len() / 80) {
        for damage in 0..2 {
            let mut damaged = database.clone();
            match damage {
                0 => damaged[at..(at + 64).min(database.len())].fill(0xFF),
                _ => damaged.truncate(at.max(1)),
            }
            if let Err(error) = open(&damaged, &[]) {
                refused += 1;
                let text = error.to_string();
                assert!(matches!(error, OpenError::Corrupt { .. }), "{text}");
                assert!(text.contains("hotpair.db") && text.contains("The peer has the data"), "{text}");
            }
        }
    }
    assert!(refused > 60, "only {refused} of the damages were found");
}

#[test]
fn foreign_and_newer_files_are_refused() {
    let refusal = |database: &[u8]| open(database, &[]).unwrap_err();
    let text = refusal(&b"temperature;12.5\n".repeat(100));
    assert!(matches!(text, OpenError::Corrupt { .. }), "{text}");
    println!("{text}");

    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE x(y)").unwrap();
    let text = refusal(&fs::read(&foreign).unwrap()).to_string();
    assert!(text.contains("another program"), "{text}");

    drop(Storage::open(dir.path()).unwrap());
    let file = dir.path().join("hotpair.db");
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let text = Storage::open(dir.path()).unwrap_err();
    assert!(matches!(text, OpenError::Newer { found: 2, known: 1, .. }), "{text}");
    assert!(text.to_string().contains("made by a newer hotpair"), "{text}");
}

#[test]
fn a_path_that_is_no_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let text = Storage::open(&path).unwrap_err().to_string();
        assert!(text.contains("not a folder") && text.contains("file"), "{text}");
    }
    fs::create_dir_all(dir.path().join("data/hotpair.db")).unwrap();
    let error = Storage::open(&dir.path().join("data")).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

#[test]
fn another_program_that_has_the_file_open_is_named_as_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    drop(Storage::open(dir.path()).unwrap());
    let browser = rusqlite::Connection::open(dir.path().join("hotpair.db")).unwrap();
    browser.execute_batch("BEGIN IMMEDIATE; DELETE FROM retained").unwrap();
    let text = Storage::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("another program"), "{text}");
    drop(browser);
    Storage::open(dir.path()).unwrap();
}

#[test]
fn a_file_that_was_removed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, _) = Storage::open(dir.path()).unwrap();
    let (file, aside) = (dir.path().join("hotpair.db"), dir.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    let text = retained(&storage, 1, vec![change(1)]).unwrap_err().to_string();
    assert!(text.contains("removed"), "{text}");
    fs::rename(&aside, &file).unwrap();
    // It tries again by itself.
    let give_up = Instant::now() + Duration::from_secs(10);
    while storage.trouble().is_some() {
        assert!(Instant::now() < give_up);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(storage);
    assert_eq!(Storage::open(dir.path()).unwrap().1.retained, [change(1)]);
}
