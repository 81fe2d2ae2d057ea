//! Alarms as an operator sees them: the live list, the journal, acknowledging and shelving.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Reply, rows};
use super::node::Node;
use super::{Pair, TIMEOUT};

/// As many rows as the journal gives at once.
const PAGE: usize = 10_000;

/// An alarm's path and name, as one text: `Plant/Tank/Level/H`.
pub fn full_name(row: &Value) -> String {
    format!("{}/{}", text(row, "path"), text(row, "name"))
}

/// A text of a row; empty when there is none.
pub fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

/// The rows about the plant and about shelvings, and not about the pair itself.
pub fn of_the_plant(rows: Vec<Value>) -> Vec<Value> {
    rows.into_iter().filter(|row| !text(row, "path").starts_with("System/")).collect()
}

/// The rows of one kind about one alarm, as [`full_name`] calls it.
pub fn of_kind<'a>(journal: &'a [Value], alarm: &str, kind: &str) -> Vec<&'a Value> {
    journal.iter().filter(|row| full_name(row) == alarm && text(row, "kind") == kind).collect()
}

impl Node {
    /// The live list, shelved alarms too.
    #[track_caller]
    pub fn alarms(&self) -> Vec<Value> {
        rows(&self.http.get_json("/api/v1/alarms?shelved=true&limit=100000"))
    }

    /// An alarm of the live list. The error tells what is in it.
    pub fn alarm(&self, alarm: &str) -> Result<Value, String> {
        let reply = self.http.try_get("/api/v1/alarms?shelved=true")?;
        let list: Value = serde_json::from_str(&reply.text).map_err(|e| format!("{e} in {}", reply.text))?;
        if reply.status != 200 {
            return Err(reply.text);
        }
        let mut fitting = rows(&list).into_iter().filter(|row| full_name(row) == alarm);
        let found = fitting.next().ok_or_else(|| format!("it is not in the list: {list}"))?;
        if fitting.next().is_some() { Err(format!("it is there twice: {list}")) } else { Ok(found) }
    }

    /// The state of an alarm; empty when it is not in the list.
    pub fn alarm_state(&self, alarm: &str) -> String {
        self.alarm(alarm).map(|row| text(&row, "state").to_owned()).unwrap_or_default()
    }

    /// Waits until an alarm of the live list has this state, and gives it.
    #[track_caller]
    pub fn wait_alarm(&self, alarm: &str, state: &str) -> Value {
        let end = Instant::now() + TIMEOUT;
        loop {
            let found = self.alarm(alarm);
            if let Ok(row) = &found
                && text(row, "state") == state
            {
                return row.clone();
            }
            assert!(Instant::now() < end, "{}: {alarm} should become {state}: {found:?}", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until an alarm is not in the live list.
    #[track_caller]
    pub fn wait_normal(&self, alarm: &str) {
        let end = Instant::now() + TIMEOUT;
        while self.alarms().iter().any(|row| full_name(row) == alarm) {
            assert!(Instant::now() < end, "{}: {alarm} should be normal: {:?}", self.name, self.alarm(alarm));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Acknowledges the occurrence of this row; an error of the connection fails the test.
    #[track_caller]
    pub fn ack(&self, alarm: &Value, comment: &str, operation: Option<&str>) -> Reply {
        self.try_ack(text(alarm, "eventId"), comment, operation)
            .unwrap_or_else(|problem| panic!("acknowledging at {}: {problem}", self.name))
    }

    /// Acknowledges an occurrence.
    pub fn try_ack(&self, event: &str, comment: &str, operation: Option<&str>) -> Result<Reply, String> {
        let mut body = json!({"comment": comment});
        if let Some(id) = operation {
            body["operationId"] = id.into();
        }
        self.http.try_post(&format!("/api/v1/alarms/{event}/ack"), &[], &body)
    }

    #[track_caller]
    pub fn shelve(&self, path: &str, minutes: u64, comment: &str) -> Reply {
        self.http.post("/api/v1/alarms/shelve", &[], &json!({"path": path, "minutes": minutes, "comment": comment}))
    }

    #[track_caller]
    pub fn unshelve(&self, path: &str, comment: &str) -> Reply {
        self.http.post("/api/v1/alarms/unshelve", &[], &json!({"path": path, "comment": comment}))
    }

    /// The shelvings in force.
    #[track_caller]
    pub fn shelved(&self) -> Vec<Value> {
        rows(&self.http.get_json("/api/v1/alarms/shelved"))
    }

    /// How many rows the journal has.
    #[track_caller]
    pub fn journal_rows(&self) -> usize {
        let page = self.http.get_json("/api/v1/historicalData/pagedAlarms?pageSize=1");
        page["totalCount"].as_u64().expect("a number") as usize
    }

    /// All rows of the journal, oldest first.
    #[track_caller]
    pub fn journal(&self) -> Vec<Value> {
        let mut journal = Vec::new();
        loop {
            let index = journal.len() / PAGE;
            let path = format!("/api/v1/historicalData/pagedAlarms?pageIndex={index}&pageSize={PAGE}");
            let page = self.http.get_json(&path);
            let data = page["data"].as_array().expect("the rows of a page");
            journal.extend_from_slice(data);
            if data.len() < PAGE {
                return journal;
            }
        }
    }
}

impl Pair {
    /// The live list of both nodes, once it is the same.
    #[track_caller]
    pub fn same_alarms(&self) -> Vec<Value> {
        self.same("live lists", Node::alarms, |_| true)
    }

    /// The journal of both nodes, once it is the same: all rows, all fields, in order. What an operator was answered is
    /// in it, and all before that; what came later may still be on its way to the disks: see [`Self::same_journal_with`].
    #[track_caller]
    pub fn same_journal(&self) -> Vec<Value> {
        self.same("journals", Node::journal, |_| true)
    }

    /// As [`Self::same_journal`], once it has so many rows of this kind about this alarm.
    #[track_caller]
    pub fn same_journal_with(&self, alarm: &str, kind: &str, count: usize) -> Vec<Value> {
        self.same("journals", Node::journal, |journal| of_kind(journal, alarm, kind).len() >= count)
    }

    /// An alarm of the live list, once both nodes show it in this state.
    #[track_caller]
    pub fn both_show(&self, alarm: &str, state: &str) -> Value {
        self.backup.wait_alarm(alarm, state);
        let row = self.master.wait_alarm(alarm, state);
        let end = Instant::now() + TIMEOUT;
        loop {
            let other = self.backup.wait_alarm(alarm, state);
            if other == row {
                return row;
            }
            assert!(Instant::now() < end, "the Master shows {row:#}, the Backup {other:#}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn same(&self, what: &str, of: impl Fn(&Node) -> Vec<Value>, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let end = Instant::now() + TIMEOUT;
        loop {
            let (master, backup) = (of(&self.master), of(&self.backup));
            if master == backup && (enough(&master) || Instant::now() > end) {
                // Whoever asked tells what is missing.
                return master;
            }
            let all = master.iter().zip(&backup).position(|(one, other)| one != other);
            let at = all.unwrap_or(master.len().min(backup.len()));
            assert!(
                master == backup || Instant::now() < end,
                "the {what} differ: {} and {} rows, row {at}: Master {:#?}, Backup {:#?}",
                master.len(),
                backup.len(),
                master.get(at),
                backup.get(at)
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An answer to an operator's request: it is done.
pub fn is_good(reply: &Reply) -> bool {
    reply.status == 200 && reply.json()["result"] == "Good"
}

/// An answer to an operator's request: it is done, here and at the peer.
pub fn is_replicated(reply: &Reply) -> bool {
    is_good(reply) && reply.json()["replicated"] == true
}
