//! What happened, for people: the last events of a run.

use std::cell::RefCell;
use std::collections::VecDeque;

use hotpair_core::replicator::TagInput;

use crate::world::World;

const TRACE_LINES: usize = 60;

thread_local! {
    static TRACE: RefCell<Option<VecDeque<String>>> = const { RefCell::new(None) };
}

pub fn start_trace() {
    TRACE.with_borrow_mut(|trace| *trace = Some(VecDeque::new()));
}

pub fn end_trace() -> Vec<String> {
    TRACE.with_borrow_mut(|trace| trace.take().unwrap_or_default().into())
}

fn trace_lines() -> usize {
    std::env::var("HOTPAIR_TRACE").ok().and_then(|n| n.parse().ok()).unwrap_or(TRACE_LINES)
}

impl World {
    pub fn note(&self, what: impl FnOnce() -> String) {
        TRACE.with_borrow_mut(|trace| {
            if let Some(trace) = trace {
                if trace.len() >= trace_lines() {
                    trace.pop_front();
                }
                trace.push_back(format!("{:>10.3} ms  {}", self.now as f64 / 1000.0, what()));
            }
        });
    }
}

pub fn brief(text: &str) -> String {
    text.chars().take(if trace_lines() > TRACE_LINES { 2000 } else { 260 }).collect()
}

pub fn describe(input: &TagInput<'_>) -> String {
    match input {
        TagInput::Frame(body) => describe_body(body),
        other => brief(&format!("{other:?}")),
    }
}

fn describe_body(body: &[u8]) -> String {
    match hotpair_core::bulk::decode(body) {
        Ok(hotpair_core::bulk::Incoming::Message(message)) => brief(&format!("{message:?}")),
        Ok(hotpair_core::bulk::Incoming::Batch(body)) => {
            let mut items = Vec::new();
            let _ = hotpair_core::bulk::read_batch(body, |item| {
                items.push(match item {
                    hotpair_core::bulk::BatchItem::Header(header) => format!("{header:?}"),
                    hotpair_core::bulk::BatchItem::Update(id, seq, sample) => format!("{id}@{seq}={:?}", sample.value),
                    hotpair_core::bulk::BatchItem::Operation { record, .. } => format!("{}", record.id),
                });
            });
            items.join(" ")
        }
        Err(error) => error.to_string(),
    }
}

pub fn describe_frame(frame: &[u8]) -> String {
    describe_body(&frame[hotpair_core::wire::HEADER_BYTES..])
}
