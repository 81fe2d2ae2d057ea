//! The divergence report on disk: what was not dropped in silence.

use hotpair_core::replicator::DivergenceReport;
use hotpair_core::value::{Sample, Value};
use serde::Serialize;

use crate::shared::Shared;

#[derive(Serialize)]
struct File<'a> {
    at: i64,
    fork: u64,
    tags: Vec<Tag<'a>>,
}

#[derive(Serialize)]
struct Tag<'a> {
    path: &'a str,
    survived: Shown<'a>,
    gave_way: Shown<'a>,
}

#[derive(Serialize)]
struct Shown<'a> {
    value: &'a Value,
    quality: String,
    time: i64,
}

pub(super) fn store(shared: &Shared, report: &DivergenceReport) {
    let count = report.tags.len();
    tracing::warn!(tags = count, "both nodes had changes that the other did not have: the newer of each tag survived");
    let tags = report.tags.iter().map(|tag| Tag {
        path: &tag.path,
        survived: shown(&tag.survived),
        gave_way: shown(&tag.gave_way),
    });
    let file = File { at: report.at.0, fork: report.fork, tags: tags.collect() };
    let name = format!("divergence-{}.json", report.at.0);
    match serde_json::to_vec_pretty(&file) {
        Ok(json) => shared.disk.store_report(
            name,
            json,
            Box::new(|result| {
                if let Err(error) = result {
                    tracing::error!("the divergence report cannot be stored: {error}");
                }
            }),
        ),
        Err(error) => tracing::error!("the divergence report cannot be written: {error}"),
    }
}

fn shown(sample: &Sample) -> Shown<'_> {
    Shown { value: &sample.value, quality: sample.quality.to_string(), time: sample.time.0 }
}
