use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hotpair_core::quality::Quality;
use hotpair_core::value::{Sample, Value};

use super::super::replay::position_tag;
use super::*;

#[derive(Default)]
struct TestPlant {
    running: AtomicBool,
    tags: Mutex<HashMap<String, Sample>>,
    batches: AtomicU64,
}

impl ReadTags for TestPlant {
    fn read(&self, path: &str) -> Option<Sample> {
        self.tags.lock().get(path).cloned()
    }
}

impl Plant for TestPlant {
    fn may_run(&self) -> bool {
        self.running.load(Ordering::SeqCst)
    }

    fn publish(&self, batch: Vec<SourceUpdate>) -> Result<(), PublishError> {
        if !self.may_run() {
            return Err(PublishError::NotRunning);
        }
        self.batches.fetch_add(1, Ordering::SeqCst);
        for SourceUpdate { path, value, quality, time } in batch {
            self.tags.lock().insert(path.to_string(), Sample { value, quality, time });
        }
        Ok(())
    }
}

/// Counts up by one a millisecond from what the tag reads; panics when it reads 13.
struct Counter {
    count: f64,
    resumes: Arc<AtomicU64>,
    standbys: Arc<AtomicU64>,
}

const PATH: &str = "System/Sources/counter/Position";

impl Source for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn paths(&self) -> Vec<Arc<str>> {
        vec![PATH.into()]
    }

    fn resume(&mut self, _: SourceTime, tags: &dyn ReadTags) {
        self.resumes.fetch_add(1, Ordering::SeqCst);
        self.count = match tags.read(PATH).map(|sample| sample.value) {
            Some(Value::Float64(count)) => count,
            _ => 0.0,
        };
    }

    fn step(&mut self, now: SourceTime, tags: &dyn ReadTags, out: &mut Vec<SourceUpdate>) -> Next {
        let unlucky = tags.read(PATH).is_some_and(|sample| sample.value == Value::Float64(13.0));
        assert!(!unlucky, "thirteen");
        self.count += 1.0;
        let path = PATH.into();
        out.push(SourceUpdate { path, value: Value::Float64(self.count), quality: Quality::GOOD, time: now.unix });
        out.push(SourceUpdate { path: "No".into(), value: Value::Bool(true), quality: Quality::GOOD, time: now.unix });
        Next { after_ms: 1 }
    }

    fn standby(&mut self, level: StandbyActivityLevel) {
        assert_eq!(level, StandbyActivityLevel::Warm);
        self.standbys.fetch_add(1, Ordering::SeqCst);
    }
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn it_feeds_while_running_and_survives_panics() {
    let plant = Arc::new(TestPlant::default());
    let (resumes, standbys) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let source = Counter { count: 0.0, resumes: resumes.clone(), standbys: standbys.clone() };
    let catalog = Arc::new(Catalog::new(vec![position_tag("counter")]).unwrap());
    let (runner, handle) = SourceRunner::new(Box::new(source), plant.clone(), catalog, StandbyActivityLevel::Warm);
    let thread = runner.spawn().unwrap();
    let set = |count: f64| {
        let sample = Sample { value: Value::Float64(count), quality: Quality::GOOD, time: UnixMillis(0) };
        plant.tags.lock().insert(PATH.to_owned(), sample);
    };

    wait_for("standby", || standbys.load(Ordering::SeqCst) == 1);
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(handle.stats(), RunnerStats::default(), "a Standby's source feeds nothing");

    plant.running.store(true, Ordering::SeqCst);
    handle.wake();
    wait_for("a panic", || handle.stats().panics >= 2);
    assert_eq!(plant.batches.load(Ordering::SeqCst), 13);
    let error = handle.stats().last_error.unwrap();
    assert!(error.contains("\"counter\" panicked: thirteen"), "{error}");

    set(100.0);
    wait_for("the source feeds again", || handle.stats().updates > 30);
    assert!(handle.stats().feeding);
    assert!(handle.stats().last_error.unwrap().contains("No is no tag of this project"));

    plant.running.store(false, Ordering::SeqCst);
    wait_for("standby again", || standbys.load(Ordering::SeqCst) == 2);
    let (before, updates) = (resumes.load(Ordering::SeqCst), handle.stats().updates);
    set(5_000.0);
    plant.running.store(true, Ordering::SeqCst);
    handle.wake();
    wait_for("the takeover", || handle.stats().updates > updates);
    assert_eq!(resumes.load(Ordering::SeqCst), before + 1);
    let value = plant.read(PATH).unwrap().value;
    assert!(matches!(value, Value::Float64(count) if count > 5_000.0), "it goes on from the tag: {value:?}");

    handle.stop();
    thread.join().unwrap();
    assert!(!handle.stats().feeding);
}
