//! kill -9 at random moments: what was acknowledged is there, and `durable` is never ahead of the data.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

const TAGS: u64 = 17;

/// The test binary itself, running one ignored test of this module on a folder.
pub(super) fn child(test: &str, data_dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(child_args(test)).env("HOTPAIR_TEST_DIR", data_dir);
    command
}

pub(super) fn child_args(test: &str) -> [String; 4] {
    ["--exact".into(), format!("storage::tests::{test}"), "--ignored".into(), "--nocapture".into()]
}

/// The folder that a child works on; none when somebody runs the ignored tests by hand.
pub(super) fn child_dir() -> Option<PathBuf> {
    std::env::var_os("HOTPAIR_TEST_DIR").map(PathBuf::from)
}

/// Change `seq` gives tag `seq % TAGS` the value `seq`.
fn change(seq: Seq) -> RetainedItem {
    item(&format!("t{:02}", seq % TAGS), Value::Int64(seq.cast_signed()), seq)
}

#[test]
#[ignore = "started by kill_at_random_moments"]
fn writes_until_it_is_killed() {
    let Some(dir) = child_dir() else { return };
    let (storage, found) = Storage::open(&dir).unwrap();
    let (permit, permits) = mpsc::sync_channel(8);
    for seq in found.durable + 1.. {
        permit.send(()).unwrap();
        let done: Done = Box::new(move |result| {
            result.unwrap();
            println!("R {seq}");
        });
        storage.store_retained(RetainedBatch { durable: seq, items: vec![change(seq)] }, done);
        if seq % 5 == 0 {
            storage.store_tenure(tenure(seq, seq, seq), Box::new(move |result| println!("T {seq} {result:?}")));
        }
        if seq % 8 == 0 {
            // Lets groups of different sizes form.
            while permits.try_recv().is_ok() {}
            wait(|done| storage.store_retained(RetainedBatch::default(), done)).unwrap();
        }
    }
}

#[test]
fn kill_at_random_moments() {
    let dir = tempfile::tempdir().unwrap();
    let (mut retained_to, mut counter_to) = (0, 0);
    let mut unclean = 0;
    for round in 0..20u64 {
        let mut child = child("crash::writes_until_it_is_killed", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let (first, started) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let (mut retained_to, mut counter_to) = (0, 0);
            // A line that the kill cut in two has no end and does not count.
            for line in lines.lines().map_while(Result::ok) {
                let mut words = line.split(' ');
                match (words.next(), words.next().and_then(|n| n.parse().ok()), words.next()) {
                    (Some("R"), Some(seq), None) => retained_to = seq,
                    (Some("T"), Some(counter), Some("Ok(())")) => counter_to = counter,
                    _ => continue,
                }
                let _ = first.send(());
            }
            (retained_to, counter_to)
        });
        started.recv_timeout(Duration::from_secs(20)).expect("the child writes");
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(u16::from_le_bytes(random)) % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = reader.join().unwrap();
        retained_to = retained_to.max(acknowledged.0);
        counter_to = counter_to.max(acknowledged.1);

        let (storage, found) = Storage::open(dir.path()).unwrap();
        unclean += u32::from(!found.previous_shutdown_clean);
        assert!(found.durable >= retained_to, "round {round}: {} of {retained_to}", found.durable);
        assert!(found.last_counter >= counter_to && found.reserved >= counter_to, "round {round}");
        assert_eq!(found.lineage.epoch().counter, found.last_counter);
        assert_exactly(&found);
        drop(storage);
    }
    assert_eq!(unclean, 20);
    assert!(retained_to > 100 && counter_to > 20, "the children did nothing: {retained_to} {counter_to}");
    println!("acknowledged before the kills: {retained_to} changes");
}

/// The retained tags are exactly those after change `durable`.
fn assert_exactly(found: &Recovered) {
    let mut expected: Vec<_> = (found.durable.saturating_sub(TAGS - 1)..=found.durable).filter(|s| *s > 0).collect();
    expected.sort_by_key(|seq| seq % TAGS);
    assert_eq!(found.retained, expected.into_iter().map(change).collect::<Vec<_>>());
}
