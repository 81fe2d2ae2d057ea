//! Disks that take no more. Where the system lets no test make such a disk, it is skipped.

use std::fs;

use super::crash::{child_args, child_dir};
use super::*;

fn large(position: u64) -> JournalBatch {
    let mut batch = entries(tenure(1), [position]);
    Arc::make_mut(&mut batch.entries[0]).value = Some(Value::String(Arc::from("x".repeat(10_000))));
    batch.states = vec![(AlarmKey(1), Some(state(position)))];
    batch.included = [(tenure(1), position)].into();
    batch
}

/// Exactly the first `last` batches are there.
fn assert_whole(dir: &Path, last: u64) {
    let (journal, found) = open(dir);
    let (held, included) = (found.held[&tenure(1)], found.included[&tenure(1)]);
    assert_eq!((held, included, found.states[0].1.number), (last, last, last));
    let expected: Vec<_> = (1..=last).map(|position| (*large(position).entries[0]).clone()).collect();
    assert_eq!(read(&journal, tenure(1), 1, usize::MAX), expected);
}

/// A script that ends by `exec`ing the child; none where it may not do what it must.
fn run_in(script: &str, test: &str, dir: &Path) -> Option<String> {
    let output = std::process::Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(std::env::current_exe().unwrap())
        .args(child_args(test))
        .env("HOTPAIR_TEST_DIR", dir)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !said.contains("running 1 test") {
        println!("skipped: {said}");
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(said)
}

#[test]
#[ignore = "started by a_full_disk"]
fn fills_its_disk() {
    let Some(dir) = child_dir() else { return };
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let dir = dir.join("data");
    fs::create_dir(&dir).unwrap();
    let (journal, _) = open(&dir);
    let mut last = 0;
    let refused = loop {
        assert!(last < 5000, "the disk never became full");
        match append(&journal, large(last + 1)) {
            Ok(()) => last += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert!(refused.contains("the disk is full") && refused.contains("journal.db"), "{refused}");
    assert_eq!(journal.trouble(), Some(refused.clone()));
    assert!(last > 5);
    assert!(append(&journal, large(last + 1)).is_err(), "it is still full");
    // What follows a batch that failed does not fit, and the disk's trouble stays the one that is shown.
    assert!(append(&journal, large(last + 2)).unwrap_err().to_string().contains("has no gaps"));
    assert!(journal.trouble().unwrap().contains("the disk is full"));
    assert_eq!(journal.positions().unwrap(), [(tenure(1), last)].into());
    assert_eq!(read(&journal, tenure(1), last, 10).len(), 1, "it can still be read");
    fs::remove_file(&ballast).unwrap();
    append(&journal, large(last + 1)).unwrap();
    assert_eq!(journal.trouble(), None);
    append(&journal, large(last + 2)).unwrap();
    journal.close().unwrap();
    assert_whole(&dir, last + 2);
}

#[test]
#[cfg(unix)]
fn a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        r#"exec unshare -m bash -c 'mount -t tmpfs -o size=4m tmpfs "$HOTPAIR_TEST_DIR" && exec "$@"' bash "$@""#;
    if let Some(text) = run_in(script, "full::fills_its_disk", dir.path()) {
        println!("{text}");
    }
}

#[test]
#[ignore = "started by a_file_that_may_not_grow"]
fn meets_its_limit() {
    let Some(dir) = child_dir() else { return };
    let (journal, _) = open(&dir);
    let mut last = 0;
    while append(&journal, large(last + 1)).is_ok() {
        last += 1;
    }
    assert!(journal.trouble().unwrap().contains("journal.db"));
    println!("STORED {last}");
}

#[test]
#[cfg(unix)]
fn a_file_that_may_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"trap '' XFSZ; ulimit -f 2000 && exec "$@""#;
    let Some(text) = run_in(script, "full::meets_its_limit", dir.path()) else { return };
    let stored: u64 = text.lines().find_map(|line| line.split("STORED ").nth(1)).unwrap().trim().parse().unwrap();
    assert!(stored > 5, "{text}");
    assert_whole(dir.path(), stored);
}

#[test]
#[ignore = "started by a_read_only_file_system"]
fn says_why_it_cannot_open() {
    let Some(dir) = child_dir() else { return };
    println!("REFUSED {}", Journal::open(&dir, KEPT_ENTRIES).unwrap_err());
}

#[test]
#[cfg(unix)]
fn a_read_only_file_system() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let script = r#"exec unshare -m bash -c '
        mount --bind "$HOTPAIR_TEST_DIR" "$HOTPAIR_TEST_DIR" && mount -o remount,ro,bind "$HOTPAIR_TEST_DIR" && exec "$@"
        ' bash "$@""#;
    if let Some(text) = run_in(script, "full::says_why_it_cannot_open", dir.path()) {
        assert!(text.contains("REFUSED The data folder cannot be used: ") && text.contains("read-only"), "{text}");
    }
}

#[test]
fn a_file_that_was_removed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    append(&journal, large(1)).unwrap();
    let (file, aside) = (dir.path().join("journal.db"), dir.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    let text = append(&journal, large(2)).unwrap_err().to_string();
    assert!(text.contains("removed"), "{text}");
    fs::rename(&aside, &file).unwrap();
    append(&journal, large(2)).unwrap();
    drop(journal);
    assert_whole(dir.path(), 2);
}

#[test]
fn another_program_that_writes_is_named_as_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    append(&journal, large(1)).unwrap();
    let browser = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    browser.execute_batch("BEGIN IMMEDIATE; DELETE FROM states").unwrap();
    let text = append(&journal, large(2)).unwrap_err().to_string();
    assert!(text.contains("another program"), "{text}");
    assert_eq!(shown(&journal).len(), 1);
    drop(browser);
    append(&journal, large(2)).unwrap();
    drop(journal);
    assert_whole(dir.path(), 2);
}
