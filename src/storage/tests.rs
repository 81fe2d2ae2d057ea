//! What is stored is found again; what cannot be stored is said.

mod crash;
mod damage;
mod full;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use hotpair_actors::durable::{MAX_REPORTS, MemoryDisk};
use hotpair_core::lineage::Fork;
use hotpair_core::quality::Quality;
use hotpair_core::types::{Epoch, UnixMillis};
use hotpair_core::value::{Sample, Value};
use proptest::prelude::*;

use super::*;

fn item(path: &str, value: Value, seq: Seq) -> RetainedItem {
    let sample = Sample { value, quality: Quality::UNCERTAIN_INITIAL_VALUE, time: UnixMillis(-(seq.cast_signed())) };
    (Arc::from(path), sample, seq)
}

fn tenure(counter: u64, reserved: u64, at: Seq) -> DurableTenure {
    let fork = Fork { epoch: Epoch { counter, node: NodeId(u64::MAX) }, at };
    DurableTenure { lineage: Lineage::default().promoted(fork), reserved, last_counter: counter }
}

/// Calls `operation` and waits for its `done`.
fn wait(operation: impl FnOnce(Done)) -> Result<(), DiskError> {
    let (sender, receiver) = mpsc::channel();
    operation(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv_timeout(Duration::from_secs(20)).expect("done is called")
}

fn retained(disk: &dyn Durable, durable: Seq, items: Vec<RetainedItem>) -> Result<(), DiskError> {
    wait(|done| disk.store_retained(RetainedBatch { durable, items }, done))
}

#[test]
fn everything_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("a/b");
    let (storage, fresh) = Storage::open(&data_dir).unwrap();
    assert!(fresh.previous_shutdown_clean && fresh.retained.is_empty() && fresh.node != NodeId(0));
    #[cfg(unix)]
    for path in [data_dir.clone(), data_dir.join("hotpair.db"), data_dir.join("hotpair.db-wal")] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} can be read by others: {mode:o}", path.display());
    }
    let items = vec![
        item("a", Value::Bool(true), u64::MAX),
        item("b", Value::Int64(i64::MIN), 1),
        item("c", Value::Float64(-0.0), 2),
        item("d", Value::Float64(f64::INFINITY), 3),
        item("e", Value::String("Füllstand\0".into()), 4),
        item("f", Value::DateTime(UnixMillis(-1)), 5),
    ];
    retained(&storage, 5, items.clone()).unwrap();
    retained(&storage, 6, vec![item("nan", Value::Float64(f64::NAN), 6)]).unwrap();
    wait(|done| storage.store_tenure(tenure(3, 4, 2), done)).unwrap();
    wait(|done| storage.store_tenure(tenure(2, 2, 9), done)).unwrap();
    drop(storage);

    let (storage, found) = Storage::open(&data_dir).unwrap();
    assert_eq!(found.retained[..6], items);
    assert!(matches!(found.retained[6].1.value, Value::Float64(value) if value.is_nan()));
    assert_eq!((found.node, found.durable, found.previous_shutdown_clean), (fresh.node, 6, true));
    assert_eq!((found.lineage, found.reserved, found.last_counter), (tenure(2, 2, 9).lineage, 4, 3));
    wait(|done| storage.adopt(tenure(8, 8, 1), 1, done)).unwrap();
    storage.close().unwrap();
    let refused = retained(&storage, 9, vec![]).unwrap_err().to_string();
    assert!(refused.contains("closed"), "{refused}");
    drop(storage);
    assert_eq!(Storage::open(&data_dir).unwrap().1.durable, 1);
}

#[test]
fn a_folder_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let first = Storage::open(dir.path()).unwrap();
    let before = Instant::now();
    let refused = Storage::open(dir.path()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{refused}");
    assert!(refused.to_string().contains("in use by another hotpair (process "), "{refused}");
    assert!(before.elapsed() < Duration::from_secs(1));
    drop(first);
    Storage::open(dir.path()).unwrap();
}

#[test]
fn what_waits_is_written_together_and_its_number_is_limited() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, _) = Storage::open(dir.path()).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    // The disk's thread stands still in this one.
    storage.store_retained(
        RetainedBatch::default(),
        Box::new(move |_| {
            entered.send(()).unwrap();
            held.recv().unwrap();
        }),
    );
    inside.recv().unwrap();
    let results = Arc::new(Mutex::new(Vec::new()));
    for seq in 1..=MAX_WAITING as Seq + 10 {
        let results = results.clone();
        let items = vec![item(&format!("t{}", seq % 10), Value::Int64(seq.cast_signed()), seq)];
        storage
            .store_retained(RetainedBatch { durable: seq, items }, Box::new(move |result| results.lock().push(result)));
    }
    assert_eq!(*results.lock(), vec![Err(DiskError::too_slow()); 10]);
    let before = Instant::now();
    release.send(()).unwrap();
    storage.close().unwrap();
    assert!(before.elapsed() < Duration::from_secs(2), "4096 commits one by one take longer");
    assert_eq!(results.lock().iter().filter(|result| result.is_ok()).count(), MAX_WAITING);
    // Also the values of the refused ones are there: `durable` must not pass them.
    let (_storage, found) = Storage::open(dir.path()).unwrap();
    assert_eq!((found.durable, found.retained.len()), (MAX_WAITING as Seq + 10, 10));
    assert!(found.retained.iter().all(|(_, _, seq)| *seq > MAX_WAITING as Seq));
}

#[test]
fn the_last_handle_may_be_dropped_by_a_done_and_a_done_may_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, _) = Storage::open(dir.path()).unwrap();
    let storage = Arc::new(storage);
    storage.store_retained(RetainedBatch::default(), Box::new(|_| panic!("a test panics in its callback on purpose")));
    let (sender, receiver) = mpsc::channel();
    let last = storage.clone();
    storage.store_retained(
        RetainedBatch { durable: 7, items: vec![] },
        Box::new(move |result| {
            sender.send(result).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            drop(last);
        }),
    );
    drop(storage);
    assert_eq!(receiver.recv().unwrap(), Ok(()));
    let give_up = Instant::now() + Duration::from_secs(10);
    let found = loop {
        match Storage::open(dir.path()) {
            Ok((_, found)) => break found,
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
    };
    assert_eq!((found.durable, found.previous_shutdown_clean), (7, true));
}

#[test]
fn the_newest_reports_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, _) = Storage::open(dir.path()).unwrap();
    assert!(list_reports(dir.path()).unwrap().is_empty());
    for number in 0..MAX_REPORTS + 5 {
        wait(|done| storage.store_report(format!("{number:02}.json"), number.to_string().into_bytes(), done)).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    let names = list_reports(dir.path()).unwrap();
    assert_eq!((names.len(), &*names[0], &*names[MAX_REPORTS - 1]), (MAX_REPORTS, "24.json", "05.json"));
    assert_eq!(read_report(dir.path(), "24.json").unwrap(), b"24");
    for name in ["../hotpair.db", "", ".hidden", "a/b", "a\\b", "ä"] {
        let refused = wait(|done| storage.store_report(name.into(), vec![], done)).unwrap_err();
        assert!(refused.to_string().contains("letters"), "{refused}");
        assert!(read_report(dir.path(), name).is_err());
    }
    assert!(storage.trouble().is_some());
    retained(&storage, 1, vec![]).unwrap();
    assert_eq!(storage.trouble(), None);
}

#[test]
fn ten_thousand_tags_in_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, _) = Storage::open(dir.path()).unwrap();
    for round in 0..3u64 {
        let items: Vec<_> = (0..10_000)
            .map(|n| item(&format!("Plant/Line{n}/Setpoint"), Value::Float64(n.into()), round + 1))
            .collect();
        let before = Instant::now();
        retained(&storage, round + 1, items).unwrap();
        println!("10,000 retained tags, round {round}: {:?}", before.elapsed());
        // Far above what it takes, for a machine that does other things as well.
        assert!(before.elapsed() < Duration::from_secs(3));
    }
    drop(storage);
    let before = Instant::now();
    assert_eq!(Storage::open(dir.path()).unwrap().1.retained.len(), 10_000);
    println!("opened in {:?}", before.elapsed());
}

/// `cargo test --lib storage::tests::measure -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn measure() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let (storage, _) = Storage::open(dir.path()).unwrap();
    let mut times: Vec<_> = (0..2000)
        .map(|counter| {
            let before = Instant::now();
            wait(|done| storage.store_tenure(tenure(counter, counter, 0), done)).unwrap();
            before.elapsed()
        })
        .collect();
    times.sort();
    println!("store_tenure: median {:?}, p99 {:?}, most {:?}", times[1000], times[1980], times[1999]);
}

#[derive(Clone, Debug)]
enum Op {
    Tenure(u64, u64),
    Retained(Seq, Vec<(u8, i64)>),
    Adopt(u64, Seq),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..50u64, 0..50u64).prop_map(|(counter, reserved)| Op::Tenure(counter, reserved)),
        5 => (0..100u64, prop::collection::vec((0..8u8, any::<i64>()), 0..5)).prop_map(|(d, i)| Op::Retained(d, i)),
        1 => (0..50u64, 0..100u64).prop_map(|(counter, durable)| Op::Adopt(counter, durable)),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    /// The file and the disk in memory do the same, and counters never go back.
    #[test]
    fn counters_never_go_back(ops in prop::collection::vec(op(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let model = MemoryDisk::new();
        let mut storage = Storage::open(dir.path()).unwrap().0;
        let mut highest = (0, 0);
        let nothing = || -> Done { Box::new(|_| {}) };
        for (index, op) in ops.into_iter().chain([Op::Reopen]).enumerate() {
            match op {
                Op::Tenure(counter, reserved) => {
                    highest = (highest.0.max(reserved), highest.1.max(counter));
                    for disk in [&model as &dyn Durable, &storage] {
                        disk.store_tenure(tenure(counter, reserved, index as Seq), nothing());
                    }
                }
                Op::Retained(durable, items) => {
                    let items: Vec<_> =
                        items.iter().map(|(t, v)| item(&t.to_string(), Value::Int64(*v), index as Seq)).collect();
                    for disk in [&model as &dyn Durable, &storage] {
                        disk.store_retained(RetainedBatch { durable, items: items.clone() }, nothing());
                    }
                }
                Op::Adopt(counter, durable) => {
                    highest = (highest.0.max(counter), highest.1.max(counter));
                    for disk in [&model as &dyn Durable, &storage] {
                        disk.adopt(tenure(counter, counter, index as Seq), durable, nothing());
                    }
                }
                Op::Reopen => {
                    drop(storage);
                    let found;
                    (storage, found) = Storage::open(dir.path()).unwrap();
                    prop_assert_eq!((found.reserved, found.last_counter), highest);
                    prop_assert_eq!(found.lineage, model.tenure().lineage);
                    prop_assert_eq!((found.durable, found.retained), (model.durable(), model.retained()));
                }
            }
        }
    }
}
