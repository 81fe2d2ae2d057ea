//! Watches both nodes all the time and says at the end whether their epochs were sound.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http::Client;
use super::node::{Node, Status};

/// For how long both nodes may say Running.
#[derive(Clone, Copy, Debug)]
pub enum Overlap {
    /// Never.
    None,
    /// No longer than this.
    AtMostMs(u64),
    /// While the link was cut nobody could know; once it is whole, for [`MET_WITHIN`].
    LinkWasCut,
}

/// When a link is whole again, both have met and one has given way after so long. Usually it is a tenth of a second, and a
/// second more when a packet of the connecting is lost.
const MET_WITHIN: Duration = Duration::from_secs(5);

/// What one node said at one moment.
#[derive(Clone, Debug)]
struct Sample {
    node: &'static str,
    asked: Instant,
    answered: Instant,
    /// None: the test killed or stopped the node here.
    said: Option<Said>,
}

#[derive(Clone, Debug)]
struct Said {
    status: String,
    id: String,
    epoch: u64,
    epoch_node: String,
}

/// Where samples go; the harness marks kills and stops in it, and when the link was cut and made whole.
#[derive(Clone, Default)]
pub struct Record {
    samples: Arc<Mutex<Vec<Sample>>>,
    link: Arc<Mutex<Vec<(Instant, bool)>>>,
}

#[derive(Default)]
pub struct Watch {
    record: Record,
    ended: Arc<AtomicBool>,
    pollers: Vec<JoinHandle<()>>,
}

/// A node was Running in this epoch at least from `from` to `to`.
#[derive(Clone, Debug)]
struct Tenure {
    node: &'static str,
    epoch: (u64, String),
    from: Instant,
    to: Instant,
}

impl Record {
    /// From here on the node cannot act: it was killed or stopped.
    pub fn gone(&self, node: &'static str) {
        let now = Instant::now();
        self.push(Sample { node, asked: now, answered: now, said: None });
    }

    /// The link is whole from here on, or not.
    pub fn link_is(&self, whole: bool) {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), whole));
    }

    /// From when until when it was whole, as far as the test cut it; none: to the end.
    fn whole(&self) -> Vec<(Instant, Option<Instant>)> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let next = link.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        link.iter().zip(next).filter(|((_, whole), _)| *whole).map(|((from, _), to)| (*from, to)).collect()
    }

    fn push(&self, sample: Sample) {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }

    fn of(&self, node: &str) -> Vec<Sample> {
        let all = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|sample| sample.node == node).cloned().collect()
    }
}

impl Watch {
    pub fn record(&self) -> Record {
        self.record.clone()
    }

    /// One thread a node: a stopped node that does not answer delays nobody.
    pub fn start(mut self, nodes: &[&Node]) -> Self {
        for node in nodes {
            let (name, client) = (node.name, node.client(Duration::from_millis(500)));
            let (record, ended) = (self.record(), Arc::clone(&self.ended));
            self.pollers.push(thread::spawn(move || poll(name, &client, &record, &ended)));
        }
        self
    }

    pub fn stop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for poller in self.pollers.drain(..) {
            poller.join().ok();
        }
    }

    #[track_caller]
    pub fn verify(&self, overlap: Overlap) {
        let (master, backup) = (self.record.of("master"), self.record.of("backup"));
        assert!(master.len() + backup.len() > 3, "the watch saw nearly nothing");
        for samples in [&master, &backup] {
            epochs_only_grow(samples);
            running_in_own_epoch(samples);
        }
        no_epoch_on_two_nodes(master.iter().chain(&backup));
        let limit = match overlap {
            Overlap::None => Duration::ZERO,
            Overlap::AtMostMs(ms) => Duration::from_millis(ms),
            Overlap::LinkWasCut => return self.one_gives_way_when_the_link_is_whole(),
        };
        for mine in tenures(&master) {
            for theirs in tenures(&backup) {
                let (from, to) = (mine.from.max(theirs.from), mine.to.min(theirs.to));
                let both = to.saturating_duration_since(from);
                assert!(both <= limit, "both nodes were Running for at least {both:?}: {mine:?} and {theirs:?}");
            }
        }
    }

    #[track_caller]
    fn one_gives_way_when_the_link_is_whole(&self) {
        for (from, to) in self.both_ran() {
            for (whole, cut) in self.record.whole() {
                let (from, to) = (from.max(whole), cut.map_or(to, |cut| cut.min(to)));
                let both = to.saturating_duration_since(from);
                assert!(
                    both <= MET_WITHIN,
                    "both nodes were Running for at least {both:?} on a link that was whole again"
                );
            }
        }
    }

    /// When both nodes were Running, at least.
    pub fn both_ran(&self) -> Vec<(Instant, Instant)> {
        let mut both = Vec::new();
        for mine in tenures(&self.record.of("master")) {
            for theirs in tenures(&self.record.of("backup")) {
                let (from, to) = (mine.from.max(theirs.from), mine.to.min(theirs.to));
                if from < to {
                    both.push((from, to));
                }
            }
        }
        both
    }

    /// When nobody was Running, from the first tenure to the last one, at most.
    pub fn nobody_ran(&self) -> Vec<(Instant, Instant)> {
        let mut all = [tenures(&self.record.of("master")), tenures(&self.record.of("backup"))].concat();
        all.sort_by_key(|tenure| tenure.from);
        let (mut gaps, mut until) = (Vec::new(), None);
        for tenure in all {
            if let Some(until) = until
                && tenure.from > until
            {
                gaps.push((until, tenure.from));
            }
            until = until.max(Some(tenure.to));
        }
        gaps
    }
}

fn poll(node: &'static str, client: &Client, record: &Record, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        let asked = Instant::now();
        if let Ok(reply) = client.try_get("/api/v1/redundancy/status")
            && let Ok(status) = serde_json::from_str::<Status>(&reply.text)
        {
            let said = Said {
                status: status.node.status,
                id: status.node.id,
                epoch: status.epoch,
                epoch_node: status.epoch_node.unwrap_or_default(),
            };
            record.push(Sample { node, asked, answered: Instant::now(), said: Some(said) });
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A tenure that began before the last this long is on the disk of a node that is killed.
const STORED_WITHIN: Duration = Duration::from_millis(200);

/// An epoch that a node only followed when it was killed does not count: it may not have been on its disk yet. Nor does
/// one that it took and never ran under, or only just began to, killed in between: its counter was reserved on the disk and
/// is not used again, the tenure itself was on its way there. The other node takes one above both when it hears of it.
#[track_caller]
fn epochs_only_grow(samples: &[Sample]) {
    let (mut highest, mut led) = (0, 0);
    let (mut led_before, mut led_since) = (0, None::<Instant>);
    for sample in samples {
        let Some(said) = &sample.said else {
            if led_since.take().is_some_and(|since| sample.asked.duration_since(since) < STORED_WITHIN) {
                led = led_before;
            }
            highest = led;
            continue;
        };
        let runs = said.status == "Running";
        let taken_only = !runs && said.epoch_node == said.id && said.epoch > led;
        if runs || !taken_only {
            assert!(said.epoch >= highest, "an epoch went back from {highest}: {sample:?}");
            highest = said.epoch;
        }
        if runs {
            if said.epoch != led {
                (led_before, led_since) = (led, Some(sample.asked));
            }
            led = said.epoch;
        }
    }
}

#[track_caller]
fn running_in_own_epoch(samples: &[Sample]) {
    for sample in samples {
        if let Some(said) = sample.said.as_ref().filter(|said| said.status == "Running") {
            assert_eq!(said.id, said.epoch_node, "a node runs in an epoch that it did not take: {sample:?}");
        }
    }
}

#[track_caller]
fn no_epoch_on_two_nodes<'a>(samples: impl Iterator<Item = &'a Sample>) {
    let mut runners: BTreeMap<(u64, &str), BTreeSet<&str>> = BTreeMap::new();
    for sample in samples {
        if let Some(said) = sample.said.as_ref().filter(|said| said.status == "Running") {
            runners.entry((said.epoch, &said.epoch_node)).or_default().insert(sample.node);
        }
    }
    for (epoch, nodes) in runners {
        assert_eq!(nodes.len(), 1, "epoch {epoch:?} was Running on {nodes:?}");
    }
}

/// A node that said Running in the same epoch twice, and was not stopped between, was Running from the first answer
/// to the last question.
fn tenures(samples: &[Sample]) -> Vec<Tenure> {
    let mut tenures: Vec<Tenure> = Vec::new();
    let mut open = false;
    for sample in samples {
        let Some(said) = sample.said.as_ref().filter(|said| said.status == "Running") else {
            open = false;
            continue;
        };
        let epoch = (said.epoch, said.epoch_node.clone());
        match tenures.last_mut().filter(|last| open && last.epoch == epoch) {
            Some(last) => last.to = sample.asked,
            None => tenures.push(Tenure { node: sample.node, epoch, from: sample.answered, to: sample.answered }),
        }
        open = true;
    }
    tenures
}
