//! Who works with the pair meanwhile: some write, some acknowledge, at either node, and repeat under the same operation
//! id what was not answered. They remember what they were promised.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pair::alarms::{full_name, text};
use crate::pair::http::rows;
use crate::pair::{Client, Node, Pair, Project};

/// Whoever was not answered for so long asks again, at the other node.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Slower than a millisecond: of two changes the newer one by time survives a union.
const PACE: Duration = Duration::from_millis(4);

const WRITERS: usize = 4;
pub const TAGS: usize = 300;
const ALARMS: usize = 6;

pub fn project() -> Project {
    let mut project = Project::memory_tags();
    for writer in 0..WRITERS {
        for tag in 0..TAGS {
            writeln!(project.tags, "{}/Tag{tag:03},Int64,,,true,0,{}", area(writer), is_retained(writer)).unwrap();
        }
    }
    project.alarms.push_str("tag,kind,limit,priority,ack_mode\n");
    for number in 0..ALARMS {
        writeln!(project.tags, "{},Float64,,,true,0,true", tank(number)).unwrap();
        writeln!(project.alarms, "{},H,100,Medium,Manual", tank(number)).unwrap();
    }
    project
}

fn tank(number: usize) -> String {
    format!("Plant/Tank{number}/Level")
}

/// Somebody who writes tags of their own in turn, into each one numbers that only grow. So many that most of them are
/// not written again between a fault and the look at what it left.
pub struct Writer {
    area: String,
    retained: bool,
    tags: Vec<Promised>,
    /// Writes answered, and of these those that were on both nodes.
    answered: AtomicU64,
    replicated: AtomicU64,
}

/// The last numbers of one tag.
#[derive(Default)]
struct Promised {
    sent: AtomicU64,
    answered: AtomicU64,
    replicated: AtomicU64,
}

/// What may be gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    Nothing,
    /// What was in one node's memory only.
    OneMemory,
    /// What was in memory only.
    BothMemories,
}

/// An acknowledgement that was answered "done".
pub struct Acknowledged {
    pub event: String,
    pub comment: String,
    pub replicated: bool,
}

/// This machine let nobody run for so long: nodes that share it may not have been heard either.
const STOOD_STILL: Duration = Duration::from_millis(150);

pub struct People {
    /// When this machine stood still.
    pub still: Mutex<Vec<(Instant, Instant)>>,
    pub writers: Vec<Writer>,
    pub acknowledged: Mutex<Vec<Acknowledged>>,
    pub repeated: AtomicU64,
    pub ended: AtomicBool,
    /// When a write was last answered, and the longest time between two of them since [`People::silence`].
    last: Mutex<(Instant, Duration)>,
    wrong: Mutex<Vec<String>>,
}

impl People {
    pub fn new() -> Self {
        let writers = (0..WRITERS).map(|number| Writer {
            area: area(number),
            retained: is_retained(number),
            tags: (0..TAGS).map(|_| Promised::default()).collect(),
            answered: AtomicU64::new(0),
            replicated: AtomicU64::new(0),
        });
        Self {
            still: Mutex::default(),
            writers: writers.collect(),
            acknowledged: Mutex::default(),
            repeated: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            last: Mutex::new((Instant::now(), Duration::ZERO)),
            wrong: Mutex::default(),
        }
    }

    /// The longest time without an answered write since the last call.
    pub fn silence(&self) -> Duration {
        let mut last = self.last.lock().unwrap();
        let longest = last.1.max(last.0.elapsed());
        last.1 = Duration::ZERO;
        longest
    }

    pub fn written(&self) -> (u64, u64) {
        let sum = |of: fn(&Writer) -> &AtomicU64| self.writers.iter().map(|w| of(w).load(Ordering::Relaxed)).sum();
        (sum(|w| &w.answered), sum(|w| &w.replicated))
    }

    /// What nobody should ever be answered.
    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Asks until it is done, first at one node, then at the other, always under the same id. None: it was told to end.
    fn insist(
        &self,
        clients: &[Client; 2],
        at: usize,
        ask: impl Fn(&Client) -> Result<Value, String>,
    ) -> Option<Value> {
        for turn in at.. {
            if self.is_over() {
                return None;
            }
            if let Ok(answer) = ask(&clients[turn % 2]) {
                return Some(answer);
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PACE);
        }
        None
    }

    pub fn write(&self, writer: &Writer, pair: &Pair) {
        let clients = clients(pair);
        for turn in 0.. {
            let tag = &writer.tags[turn % TAGS];
            let number = tag.sent.fetch_add(1, Ordering::SeqCst) + 1;
            let path = format!("{}/Tag{:03}", writer.area, turn % TAGS);
            let items = json!([{"key": path, "value": number}]);
            let id = format!("{path}-{number}");
            let done = self.insist(&clients, turn, |client| {
                let reply = client.try_post("/api/v1/tagValues", &[("Idempotency-Key", &id)], &items)?;
                if reply.all_written() {
                    return Ok(reply.json());
                }
                self.judge(reply.status, &reply.text);
                Err(reply.text)
            });
            let Some(done) = done else { return };
            self.heard_of_a_write();
            tag.answered.store(number, Ordering::SeqCst);
            writer.answered.fetch_add(1, Ordering::Relaxed);
            if done["replicated"] == true {
                tag.replicated.store(number, Ordering::SeqCst);
                writer.replicated.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(PACE);
        }
    }

    /// Notices when this machine stands still, as a busy one does.
    pub fn look_at_the_machine(&self) {
        let mut before = Instant::now();
        while !self.is_over() {
            thread::sleep(Duration::from_millis(5));
            let now = Instant::now();
            if now - before > STOOD_STILL {
                self.still.lock().unwrap().push((before, now));
            }
            before = now;
        }
    }

    /// Whether this machine stood still in that time, or shortly before.
    pub fn stood_still(&self, from: Instant, to: Instant) -> bool {
        let shortly_before = from.checked_sub(Duration::from_secs(1)).unwrap_or(from);
        self.still.lock().unwrap().iter().any(|(began, ended)| *began <= to && *ended >= shortly_before)
    }

    /// Raises alarms and acknowledges them.
    pub fn acknowledge(&self, pair: &Pair) {
        let clients = clients(pair);
        let mut before = vec![String::new(); ALARMS];
        for turn in 0.. {
            let number = turn % ALARMS;
            for value in [150, 0] {
                let items = json!([{"key": tank(number), "value": value}]);
                let written = self.insist(&clients, turn, |client| {
                    let reply = client.try_post("/api/v1/tagValues", &[], &items)?;
                    if reply.all_written() { Ok(Value::Null) } else { Err(reply.text) }
                });
                if written.is_none() {
                    return;
                }
                if value == 150 {
                    let Some(event) = self.occurrence(&clients, number, &before[number]) else { continue };
                    self.acknowledge_one(&clients, turn, &event);
                    before[number] = event;
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The id of the occurrence that is there now. None: it does not come, as after a failover in between.
    fn occurrence(&self, clients: &[Client; 2], number: usize, before: &str) -> Option<String> {
        let end = Instant::now() + Duration::from_secs(2);
        while !self.is_over() && Instant::now() < end {
            for client in clients {
                let Ok(reply) = client.try_get("/api/v1/alarms?shelved=true") else { continue };
                let Ok(list) = serde_json::from_str::<Value>(&reply.text) else { continue };
                if reply.status != 200 {
                    continue;
                }
                let wanted = format!("{}/H", tank(number));
                let found = rows(&list).into_iter().find(|row| full_name(row) == wanted);
                if let Some(row) = found.filter(|row| text(row, "state") == "Active,Unacked")
                    && text(&row, "eventId") != before
                {
                    return Some(text(&row, "eventId").to_owned());
                }
            }
            thread::sleep(PACE);
        }
        None
    }

    fn acknowledge_one(&self, clients: &[Client; 2], turn: usize, event: &str) {
        let comment = format!("seen, number {turn}");
        let body = json!({"comment": comment, "operationId": format!("ack-{turn}")});
        let end = Instant::now() + Duration::from_secs(20);
        let done = self.insist(clients, turn, |client| {
            if Instant::now() > end {
                return Ok(Value::Null);
            }
            let reply = client.try_post(&format!("/api/v1/alarms/{event}/ack"), &[], &body)?;
            let json: Value = serde_json::from_str(&reply.text).map_err(|e| e.to_string())?;
            if reply.status == 200 && json["result"] == "Good" {
                return Ok(json);
            }
            self.judge(reply.status, &reply.text);
            // The occurrence is over, or somebody was quicker.
            if [404, 409].contains(&reply.status) || reply.status == 200 { Ok(Value::Null) } else { Err(reply.text) }
        });
        if let Some(done) = done.filter(|done| !done.is_null()) {
            let replicated = done["replicated"] == true;
            let acknowledged = Acknowledged { event: event.to_owned(), comment, replicated };
            self.acknowledged.lock().unwrap().push(acknowledged);
        }
    }

    fn heard_of_a_write(&self) {
        let mut last = self.last.lock().unwrap();
        last.1 = last.1.max(last.0.elapsed());
        last.0 = Instant::now();
    }

    /// 503 asks for a repetition, 504 too, 507 tells of a disk.
    fn judge(&self, status: u16, said: &str) {
        if ![200, 404, 409, 503, 504, 507].contains(&status) {
            self.wrong.lock().unwrap().push(format!("somebody was answered {status}: {said}"));
        }
    }
}

impl Writer {
    /// Tags whose value is older than was promised, at a node that is in sync, while people write on.
    pub fn lacks(&self, node: &Node, gone: Gone) -> Vec<Lack> {
        let promised: Vec<[u64; 2]> = self
            .tags
            .iter()
            .map(|tag| [tag.replicated.load(Ordering::SeqCst), tag.answered.load(Ordering::SeqCst)])
            .collect();
        let lack = |(number, [replicated, answered]): (usize, [u64; 2])| {
            let least = match gone {
                _ if self.retained => answered,
                Gone::Nothing => answered,
                Gone::OneMemory => replicated,
                Gone::BothMemories => 0,
            };
            Lack { number, least, replicated, answered, found: None }
        };
        self.still_lacks(node, promised.into_iter().enumerate().map(lack).collect())
    }

    /// Those of them that are too old now.
    pub fn still_lacks(&self, node: &Node, lacks: Vec<Lack>) -> Vec<Lack> {
        let values = node.read(&format!("{}/*", self.area), TAGS);
        let look = |lack: Lack| {
            let found = values.get(&self.path(lack.number)).and_then(|(value, ..)| value.as_u64());
            let sent = self.tags[lack.number].sent.load(Ordering::SeqCst);
            let right = found.is_some_and(|found| (lack.least..=sent).contains(&found));
            (!right).then_some(Lack { found, ..lack })
        };
        lacks.into_iter().filter_map(look).collect()
    }

    pub fn says(&self, node: &Node, lack: &Lack) -> String {
        let Lack { number, replicated, answered, found, .. } = lack;
        let (path, sent) = (self.path(*number), self.tags[*number].sent.load(Ordering::SeqCst));
        format!(
            "LOST at the {}: {path} is {found:?}, {answered} was acknowledged, {replicated} was on both, {sent} was sent",
            node.name
        )
    }

    /// What may be gone and is, nobody is promised any more.
    pub fn forget(&self, node: &Node, gone: Gone) {
        if gone == Gone::Nothing || self.retained {
            return;
        }
        let before: Vec<[u64; 2]> = self
            .tags
            .iter()
            .map(|tag| [tag.replicated.load(Ordering::SeqCst), tag.answered.load(Ordering::SeqCst)])
            .collect();
        let values = node.read(&format!("{}/*", self.area), TAGS);
        for (number, (tag, [replicated, answered])) in self.tags.iter().zip(before).enumerate() {
            let found = values.get(&self.path(number)).and_then(|(value, ..)| value.as_u64()).unwrap_or_default();
            for (cell, before) in [(&tag.replicated, replicated), (&tag.answered, answered)] {
                // It may have grown meanwhile.
                cell.compare_exchange(before, before.min(found), Ordering::SeqCst, Ordering::SeqCst).ok();
            }
        }
    }

    fn path(&self, number: usize) -> String {
        format!("{}/Tag{number:03}", self.area)
    }
}

/// A tag that must have at least this value.
pub struct Lack {
    number: usize,
    least: u64,
    replicated: u64,
    answered: u64,
    found: Option<u64>,
}

fn area(writer: usize) -> String {
    format!("Plant/Writer{writer}")
}

fn is_retained(writer: usize) -> bool {
    writer.is_multiple_of(2)
}

fn clients(pair: &Pair) -> [Client; 2] {
    [&pair.master, &pair.backup].map(|node| node.client(PATIENCE))
}
