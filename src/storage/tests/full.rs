//! Disks that take no more: full, limited, read-only. Where the system lets no test make such a disk, it is skipped.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::crash::{child, child_args, child_dir};
use super::*;

fn large(seq: Seq) -> RetainedItem {
    item(&format!("t{seq:04}"), Value::String("x".repeat(10_000).into()), seq)
}

/// Runs a script that ends by `exec`ing the child; its output, or none where the script may not do what it must.
fn run_in(script: &str, test: &str, data_dir: &Path) -> Option<String> {
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(std::env::current_exe().unwrap())
        .args(child_args(test))
        .env("HOTPAIR_TEST_DIR", data_dir)
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

/// Stores until the disk is full, checks what is said, makes room with `relieve`, and checks that nothing is missing.
fn fill(dir: &Path, sign: &str, relieve: impl FnOnce()) {
    let (storage, _) = Storage::open(dir).unwrap();
    let mut seq = 0;
    let refused = loop {
        seq += 1;
        assert!(seq < 5000, "the disk never became full");
        if let Err(error) = retained(&storage, seq, vec![large(seq)]) {
            break error.to_string();
        }
    };
    assert!(refused.contains(sign) && refused.contains("hotpair.db"), "{refused}");
    assert_eq!(storage.trouble(), Some(refused.clone()));
    println!("after {seq}: {refused}");
    assert!(seq > 5);
    assert!(retained(&storage, seq + 1, vec![large(seq + 1)]).is_err(), "it is still full");
    relieve();
    wait(|done| storage.store_tenure(tenure(3, 3, 0), done)).unwrap();
    assert_eq!(storage.trouble(), None);
    storage.close().unwrap();
    let (_storage, found) = Storage::open(dir).unwrap();
    // Also the two that were refused: `durable` never passes what is not there.
    assert_eq!((found.durable, found.last_counter), (seq + 1, 3));
    assert_eq!(found.retained, (1..=seq + 1).map(large).collect::<Vec<_>>());
}

#[test]
#[ignore = "started by a_full_disk"]
fn fills_its_disk() {
    let Some(dir) = child_dir() else { return };
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    fill(&dir.join("data"), "the disk is full", || std::fs::remove_file(&ballast).unwrap());
}

#[test]
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
    let (storage, _) = Storage::open(&dir).unwrap();
    let mut seq = 0;
    while retained(&storage, seq + 1, vec![large(seq + 1)]).is_ok() {
        seq += 1;
    }
    assert!(storage.trouble().unwrap().contains("hotpair.db"));
    println!("STORED {seq}");
    assert!(storage.close().is_err());
}

#[test]
fn a_file_that_may_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"trap '' XFSZ; ulimit -f 1000 && exec "$@""#;
    let Some(text) = run_in(script, "full::meets_its_limit", dir.path()) else { return };
    println!("{text}");
    let stored: Seq = text.lines().find_map(|line| line.split("STORED ").nth(1)).unwrap().trim().parse().unwrap();
    let (_storage, found) = Storage::open(dir.path()).unwrap();
    assert!(!found.previous_shutdown_clean);
    assert!(stored > 5 && found.durable >= stored);
    assert_eq!(found.retained, (1..=found.durable).map(large).collect::<Vec<_>>());
}

#[test]
#[ignore = "started by tests of folders that cannot be written"]
fn says_why_it_cannot_open() {
    let Some(dir) = child_dir() else { return };
    println!("REFUSED {}", Storage::open(&dir).unwrap_err());
}

#[test]
fn a_read_only_file_system() {
    let dir = tempfile::tempdir().unwrap();
    drop(Storage::open(dir.path()).unwrap());
    let script = r#"exec unshare -m bash -c '
        mount --bind "$HOTPAIR_TEST_DIR" "$HOTPAIR_TEST_DIR" && mount -o remount,ro,bind "$HOTPAIR_TEST_DIR" && exec "$@"
        ' bash "$@""#;
    if let Some(text) = run_in(script, "full::says_why_it_cannot_open", dir.path()) {
        assert!(text.contains("REFUSED The data folder cannot be used: ") && text.contains("read-only"), "{text}");
    }
}

#[test]
fn a_folder_of_another_user() {
    let dir = tempfile::tempdir().unwrap();
    drop(Storage::open(&dir.path().join("data")).unwrap());
    for (mode, target) in [(0o555, "data"), (0o555, "new")] {
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(mode)).unwrap();
        let mut command = child("full::says_why_it_cannot_open", &dir.path().join(target));
        // Root may do everything, so it asks as nobody.
        command.uid(65534).gid(65534);
        let Ok(output) = command.output() else { return println!("skipped: cannot become another user") };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("permission denied; let the user of the service own"), "{text}");
    }
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
}
