//! kill -9 at every step of a write, and at random moments: what was answered is there, what is there is whole.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio, exit};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::model::reference;
use super::*;

/// The children forget often.
const KEEP: u64 = 40;
/// A child that is killed at no step ends after so many batches.
const BATCHES: u64 = 400;

/// All steps that [`step`] is called at.
const STEPS: [&str; 16] = [
    "before a new file is committed",
    "before BEGIN",
    "after BEGIN",
    "after an entry",
    "after the states are gone",
    "after a batch",
    "before COMMIT",
    "after COMMIT",
    "after a done",
    "before a prune",
    "inside a prune",
    "before the COMMIT of a prune",
    "after a prune",
    "before the clean mark",
    "before the last checkpoint",
    "after the last checkpoint",
];

/// Kills this process when it is a child that was told to die here: `HOTPAIR_TEST_STOP` is the name of a step and how
/// many times to pass it.
pub(in crate::storage::journal) fn step(name: &str) {
    static STOP: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    assert!(STEPS.contains(&name), "{name} stands in no list");
    let stop = STOP.get_or_init(|| {
        let told = std::env::var("HOTPAIR_TEST_STOP").ok()?;
        let (at, times) = told.rsplit_once(':')?;
        Some((at.to_string(), times.parse().ok()?))
    });
    if stop.as_ref().is_some_and(|(at, times)| at == name && PASSED.fetch_add(1, Ordering::Relaxed) == *times) {
        kill_myself();
    }
}

fn kill_myself() {
    if cfg!(unix) {
        let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
    }
    // Where there is no such program; it runs no destructors either.
    std::process::abort();
}

/// The write-ahead log of a child is folded into the file with nearly each commit, so that kills hit that too.
pub(in crate::storage::journal) fn wal_pages() -> u32 {
    if std::env::var_os("HOTPAIR_TEST_DIR").is_some() { 12 } else { 1000 }
}

pub(super) fn child_args(test: &str) -> [String; 4] {
    ["--exact".into(), format!("storage::journal::tests::{test}"), "--ignored".into(), "--nocapture".into()]
}

/// The folder that a child works on; none when somebody runs the ignored tests by hand.
pub(super) fn child_dir() -> Option<PathBuf> {
    std::env::var_os("HOTPAIR_TEST_DIR").map(PathBuf::from)
}

/// The test binary itself, running [`writes`] on a folder.
fn child(dir: &Path, stop: Option<(&str, u64)>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(child_args("crash::writes")).env("HOTPAIR_TEST_DIR", dir).stdout(Stdio::piped());
    if let Some((step, times)) = stop {
        command.env("HOTPAIR_TEST_STOP", format!("{step}:{times}"));
    }
    command.spawn().unwrap()
}

/// Batch `number`, of which everything says that it is this one: two entries of one log, one of another, of which two
/// tell the same; states, included positions and shelvings.
fn batch(number: u64) -> JournalBatch {
    let of = |origin, position| {
        let kind = if position % 2 == 0 { EntryKind::Raised } else { EntryKind::Commented };
        Arc::new(AlarmEntry { kind, event: EventId(u128::from(position)), ..entry(origin, position) })
    };
    let mut given = vec![of(tenure(2), number * 2 - 1), of(tenure(2), number * 2), of(tenure(1), number)];
    if number > 1 {
        // It is held already.
        given.insert(0, of(tenure(2), number * 2 - 3));
    }
    JournalBatch {
        skipped: Positions::new(),
        entries: given,
        replace: number.is_multiple_of(4),
        states: vec![
            (AlarmKey(1), Some(state(number))),
            (AlarmKey(2), Some(state(number))),
            (AlarmKey(100 + u128::from(number)), Some(state(number))),
        ],
        shelves: Some(vec![shelf("a", NOW, number), shelf("b", NOW, number)]),
        included: [(tenure(2), number * 2), (tenure(1), number)].into(),
    }
}

#[test]
#[ignore = "started by tests that kill it"]
fn writes() {
    let Some(dir) = child_dir() else { return };
    let endless = std::env::var_os("HOTPAIR_TEST_STOP").is_none();
    let (journal, found) = Journal::open_at(&dir, KEEP, NOW).unwrap();
    let first = found.held.get(&tenure(1)).copied().unwrap_or(0) + 1;
    let (permit, permits) = mpsc::sync_channel(8);
    for number in first.. {
        if !endless && number == first + BATCHES {
            break;
        }
        permit.send(()).unwrap();
        let done: Appended = Box::new(move |result| {
            result.unwrap();
            println!("\nSTORED {number}");
        });
        journal.append(batch(number), done);
        if matches!(number % 8, 0 | 1 | 3) {
            // So that groups of different sizes form.
            while permits.try_recv().is_ok() {}
            append(&journal, JournalBatch::default()).unwrap();
        }
    }
    journal.close().unwrap();
    exit(0);
}

/// The number of the last batch that the child was answered. `first` is told of the first answer.
fn answered(child: &mut Child, first: Option<mpsc::Sender<()>>) -> std::thread::JoinHandle<u64> {
    let lines = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        let mut last = 0;
        for line in lines.split(b'\n').map_while(Result::ok) {
            // A line that the kill cut in two would name a smaller number.
            if let Some(number) = String::from_utf8_lossy(&line).strip_prefix("STORED ").and_then(|n| n.parse().ok()) {
                last = last.max(number);
                let _ = first.as_ref().map(|first| first.send(()));
            }
        }
        last
    })
}

/// All that is there is of the first so many batches, and all of them are there; how many.
fn assert_whole(dir: &Path, answered: u64, what: &str) -> u64 {
    // Nothing more is forgotten meanwhile.
    let (journal, found) = Journal::open_at(dir, KEPT_ENTRIES, NOW).unwrap_or_else(|error| panic!("{what}: {error}"));
    let last = found.held.get(&tenure(1)).copied().unwrap_or(0);
    assert!(last >= answered, "{what}: {answered} were answered, {last} are there");
    if last == 0 {
        assert_eq!(found, JournalFound::default(), "{what}");
        return 0;
    }
    let positions: Positions = [(tenure(1), last), (tenure(2), last * 2)].into();
    assert_eq!((&found.held, &found.included), (&positions, &positions), "{what}");
    let since_replaced = (last / 4 * 4).max(1)..=last;
    let states: Vec<_> = [(1, last), (2, last)]
        .into_iter()
        .chain(since_replaced.map(|number| (100 + u128::from(number), number)))
        .map(|(key, number)| (AlarmKey(key), state(number)))
        .collect();
    assert_eq!(found.states, states, "{what}");
    assert_eq!(found.shelves, [shelf("a", NOW, last), shelf("b", NOW, last)], "{what}");
    let (ones, twos) = (read(&journal, tenure(1), 1, 9999), read(&journal, tenure(2), 1, 9999));
    let given: Vec<Arc<AlarmEntry>> = (1..=last).flat_map(|number| batch(number).entries).collect();
    for entry in ones.iter().chain(&twos) {
        assert!(given.iter().any(|given| **given == *entry), "{what}: {entry:?}");
    }
    // Without a gap up to the last one: `read` and the opening look for them.
    assert_eq!((ones.last().unwrap().position, twos.last().unwrap().position), (last, last * 2), "{what}");
    let held: Vec<_> = ones.into_iter().chain(twos).collect();
    assert!(held.len() as u64 >= KEEP.min(last * 3), "{what}: {} entries of {last} batches", held.len());
    assert!(shown(&journal) == reference(&held, &everything()), "{what}: what is shown");
    last
}

#[test]
fn kill_at_every_step() {
    for name in STEPS {
        let dir = tempfile::tempdir().unwrap();
        let mut last = 0;
        // The same folder each time: what one leaves the next one finds.
        for times in [0, 1, 7, 30] {
            let once = name.contains("clean mark") || name.contains("last checkpoint") || name.contains("new file");
            if once && times > 0 {
                continue;
            }
            let what = format!("{name}, after {times}");
            let mut child = child(dir.path(), Some((name, times)));
            let answered = answered(&mut child, None);
            let status = child.wait().unwrap();
            let answered = answered.join().unwrap();
            assert!(!status.success() && status.code().is_none(), "{what}: not killed: {status}");
            last = assert_whole(dir.path(), answered.max(last), &what);
        }
        assert_eq!(last == 0, name == "before a new file is committed", "{name}");
    }
}

#[test]
fn kill_at_random_moments() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..30u64 {
        let mut child = child(dir.path(), None);
        let (first, started) = mpsc::channel();
        let answered = answered(&mut child, Some(first));
        started.recv_timeout(Duration::from_secs(20)).expect("the child writes");
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(u16::from_le_bytes(random)) % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let answered = answered.join().unwrap();
        assert!(answered > last, "round {round}: it did nothing");
        last = assert_whole(dir.path(), answered, &format!("round {round}"));
    }
    println!("{last} batches in 30 rounds");
}
