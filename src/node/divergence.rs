//! Divergence reports: what two nodes changed apart from each other, as files that people read.

use std::io;

use hotpair_core::replicator::DivergenceReport;
use hotpair_core::types::UnixMillis;
use hotpair_core::value::Sample;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value as Json;

use super::NodeHandle;
use crate::plain_json;
use crate::status::{DivergenceFile, rfc3339};
use crate::storage;

impl NodeHandle {
    /// The stored divergence reports of this node, newest first. Reads the disk: not for a thread that must not wait.
    pub fn divergence_reports(&self) -> io::Result<Vec<DivergenceFile>> {
        let names = storage::list_reports(self.data_dir())?;
        let mut files: Vec<_> = names
            .into_iter()
            .filter_map(|name| {
                let time = time_of(&name)?;
                Some(DivergenceFile { name, time })
            })
            .collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.time));
        Ok(files)
    }

    /// The JSON of one of them; none when there is no report of this name (any more). Reads the disk.
    pub fn divergence_report(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if time_of(name).is_none() {
            return Ok(None);
        }
        match storage::read_report(self.data_dir(), name) {
            Ok(json) => Ok(Some(json)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Makes the files of reports. No two have one name, also when they are of the same millisecond.
#[derive(Default)]
pub(super) struct ReportFiles {
    last: Mutex<Option<(UnixMillis, u32)>>,
}

impl ReportFiles {
    /// Name and JSON of a report.
    pub(super) fn file(&self, report: &DivergenceReport) -> Result<(String, Vec<u8>), String> {
        let json = serde_json::to_vec_pretty(&Shown::from(report)).map_err(|error| error.to_string())?;
        Ok((self.name(report.at), json))
    }

    fn name(&self, at: UnixMillis) -> String {
        let mut last = self.last.lock();
        let number = match *last {
            Some((before, number)) if before == at => number + 1,
            _ => 1,
        };
        *last = Some((at, number));
        if number == 1 { format!("divergence-{}.json", at.0) } else { format!("divergence-{}-{number}.json", at.0) }
    }
}

/// When the report of this name was made; none when it is not the name of one.
fn time_of(name: &str) -> Option<UnixMillis> {
    let numbers = name.strip_prefix("divergence-")?.strip_suffix(".json")?;
    let (ms, number) = numbers.split_once('-').unwrap_or((numbers, "1"));
    number.parse::<u32>().ok()?;
    ms.parse().ok().map(UnixMillis)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    time: String,
    fork: u64,
    tags: Vec<Tag<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tag<'a> {
    path: &'a str,
    survived: Side,
    gave_way: Side,
}

#[derive(Serialize)]
struct Side {
    value: Json,
    quality: String,
    time: String,
}

impl<'a> From<&'a DivergenceReport> for Shown<'a> {
    fn from(report: &'a DivergenceReport) -> Self {
        let tags = report.tags.iter().map(|tag| Tag {
            path: &tag.path,
            survived: Side::from(&tag.survived),
            gave_way: Side::from(&tag.gave_way),
        });
        Self { time: rfc3339::text(report.at), fork: report.fork, tags: tags.collect() }
    }
}

impl From<&Sample> for Side {
    fn from(sample: &Sample) -> Self {
        Self {
            value: plain_json::of(&sample.value),
            quality: sample.quality.to_string(),
            time: rfc3339::text(sample.time),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hotpair_core::quality::Quality;
    use hotpair_core::replicator::DivergentTag;
    use hotpair_core::value::Value;
    use serde_json::json;

    use super::*;

    const AT: UnixMillis = UnixMillis(1_767_600_000_000);

    fn sample(value: Value, quality: Quality, later_ms: i64) -> Sample {
        Sample { value, quality, time: UnixMillis(AT.0 + later_ms) }
    }

    fn report() -> DivergenceReport {
        let tag = |path: &str, survived, gave_way| DivergentTag { path: path.into(), survived, gave_way };
        DivergenceReport {
            at: AT,
            fork: 7,
            tags: vec![
                tag(
                    "Plant/Setpoint",
                    sample(Value::Float64(3.5), Quality::GOOD, -1),
                    sample(Value::Float64(f64::NAN), Quality::BAD_SENSOR_FAILURE, -2),
                ),
                tag(
                    "Plant/Batch/Start",
                    sample(Value::DateTime(AT), Quality::GOOD, -3),
                    sample(Value::DateTime(UnixMillis(0)), Quality::UNCERTAIN_INITIAL_VALUE, -4),
                ),
            ],
        }
    }

    #[test]
    fn a_report_is_written_as_the_api_writes() {
        let (name, json) = ReportFiles::default().file(&report()).unwrap();
        assert_eq!(name, "divergence-1767600000000.json");
        let read: Json = serde_json::from_slice(&json).unwrap();
        let expected = json!({
            "time": "2026-01-05T08:00:00.000Z",
            "fork": 7,
            "tags": [
                {
                    "path": "Plant/Setpoint",
                    "survived": {"value": 3.5, "quality": "Good", "time": "2026-01-05T07:59:59.999Z"},
                    "gaveWay": {"value": null, "quality": "Bad_SensorFailure", "time": "2026-01-05T07:59:59.998Z"}
                },
                {
                    "path": "Plant/Batch/Start",
                    "survived": {
                        "value": "2026-01-05T08:00:00.000Z", "quality": "Good", "time": "2026-01-05T07:59:59.997Z"
                    },
                    "gaveWay": {
                        "value": "1970-01-01T00:00:00.000Z", "quality": "Uncertain_InitialValue",
                        "time": "2026-01-05T07:59:59.996Z"
                    }
                }
            ]
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn reports_of_one_millisecond_are_two_files() {
        let files = ReportFiles::default();
        let names: Vec<_> = (0..2).map(|_| files.file(&report()).unwrap().0).collect();
        assert_eq!(names, ["divergence-1767600000000.json", "divergence-1767600000000-2.json"]);
        assert!(names.iter().all(|name| time_of(name) == Some(AT)));
    }

    #[test]
    fn other_names_are_no_reports() {
        for name in
            ["", "divergence-.json", "divergence-x.json", "divergence-1-x.json", "../divergence-1.json", "a.json"]
        {
            assert_eq!(time_of(name), None, "{name}");
        }
    }
}
