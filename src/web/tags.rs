//! Calls about tags: definitions, values, writes.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hotpair_core::catalog::{Catalog, TagDef};
use hotpair_core::protocol::{ItemResult, WriteItem, WriteRefusal};
use hotpair_core::quality::Quality;
use hotpair_core::value::{MAX_STRING_BYTES, Sample, Value, ValueType};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Shared;
use super::error::{ApiError, Refused};
use super::request::{Query, json_body, operation_id};
use crate::node::{WriteBatch, Written};
use crate::plain_json;
use crate::status::rfc3339;

/// Tags that are answered when the client does not say how many.
const DEFAULT_TAGS: usize = 1000;
/// The most that can be asked for: the answer then has about 25 MB.
const MAX_TAGS: usize = 100_000;
/// Paths of one request.
const MAX_PATHS: usize = 1000;
/// Items of one write.
const MAX_ITEMS: usize = 10_000;

type Answer = Result<HttpResponse, ApiError>;

/// A tag with its present value.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TagView<'a> {
    path: &'a str,
    #[serde(rename = "type")]
    value_type: ValueType,
    unit: &'a str,
    description: &'a str,
    writable: bool,
    retain: bool,
    eu_low: Option<f64>,
    eu_high: Option<f64>,
    deadband: f64,
    source_fed: bool,
    stale_after_ms: Option<u64>,
    value: Json,
    quality: String,
    time: String,
}

/// A value of a tag; of an unknown path only the quality says something.
#[derive(Serialize)]
pub(super) struct ValueView<'a> {
    path: &'a str,
    value: Json,
    quality: String,
    time: Option<String>,
}

pub(super) async fn browse(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["path", "limit"])?;
    let limit = query.limit(DEFAULT_TAGS, MAX_TAGS)?;
    let mut patterns: Vec<String> = query.all("path", MAX_PATHS)?.into_iter().map(str::to_owned).collect();
    if patterns.is_empty() {
        patterns.push("*".to_owned());
    }
    let node = shared.node.clone();
    // Many tags take a while: not on the thread that serves the other requests.
    let listed = web::block(move || {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let mut list = TagList::default();
        // One more than asked for shows whether there are more.
        node.browse(&patterns, limit + 1, &mut |tag, sample| list.add(tag, &sample, limit));
        list
    })
    .await;
    let internal = |error: &dyn std::fmt::Display| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("tags cannot be listed: {error}"))
    };
    let mut list = listed.map_err(|error| internal(&error))?;
    if let Some(error) = list.error {
        return Err(internal(&error));
    }
    list.json.extend_from_slice(if list.count == 0 { b"[]" } else { b"]" });
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Hotpair-Truncated", if list.truncated { "true" } else { "false" }))
        .body(list.json))
}

/// A JSON array of tags while it grows.
#[derive(Default)]
struct TagList {
    json: Vec<u8>,
    count: usize,
    truncated: bool,
    error: Option<serde_json::Error>,
}

impl TagList {
    fn add(&mut self, tag: &TagDef, sample: &Sample, limit: usize) {
        if self.count == limit {
            self.truncated = true;
            return;
        }
        self.json.push(if self.count == 0 { b'[' } else { b',' });
        self.count += 1;
        let view = TagView {
            path: &tag.path,
            value_type: tag.value_type,
            unit: &tag.unit,
            description: &tag.description,
            writable: tag.writable,
            retain: tag.retain,
            eu_low: tag.eu_low,
            eu_high: tag.eu_high,
            deadband: tag.deadband,
            source_fed: tag.source_fed,
            stale_after_ms: tag.stale_after_ms,
            value: plain_json::of(&sample.value),
            quality: sample.quality.to_string(),
            time: rfc3339::text(sample.time),
        };
        if let Err(error) = serde_json::to_writer(&mut self.json, &view) {
            self.error = Some(error);
        }
    }
}

pub(super) async fn read(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["path"])?;
    let paths = query.all("path", MAX_PATHS)?;
    if paths.is_empty() {
        return Err(ApiError::bad_request("at least one path=… is needed; /api/v1/tags lists the tags"));
    }
    let values: Vec<_> = paths.into_iter().map(|path| view(path, shared.node.read(path))).collect();
    Ok(HttpResponse::Ok().json(values))
}

pub(super) fn view(path: &str, sample: Option<Sample>) -> ValueView<'_> {
    match sample {
        Some(sample) => ValueView {
            path,
            value: plain_json::of(&sample.value),
            quality: sample.quality.to_string(),
            time: Some(rfc3339::text(sample.time)),
        },
        None => ValueView { path, value: Json::Null, quality: "Bad_NodeIdUnknown".to_owned(), time: None },
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemBody {
    key: Arc<str>,
    value: Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WriteAnswer {
    total_count: usize,
    success_count: usize,
    failed_count: usize,
    replicated: bool,
    data: Vec<ItemAnswer>,
}

#[derive(Serialize)]
struct ItemAnswer {
    key: Arc<str>,
    value: String,
}

pub(super) async fn write(shared: web::Data<Shared>, request: HttpRequest, payload: web::Payload) -> Answer {
    let operation = operation_id(&request)?;
    let body: Vec<ItemBody> = json_body(&request, payload).await?;
    if body.is_empty() || body.len() > MAX_ITEMS {
        let found = body.len();
        return Err(ApiError::bad_request(format!("the write has {found} items: 1 to {MAX_ITEMS} are allowed")));
    }
    let (keys, prepared) = prepare(body, shared.node.catalog());
    let items: Vec<_> = prepared.iter().filter_map(|item| item.as_ref().ok()).cloned().collect();
    let outcome = if items.is_empty() {
        Ok(Written { results: Vec::new(), replicated: false })
    } else {
        shared.node.write(WriteBatch { items, operation }).await
    };
    match outcome {
        Ok(Written { results, replicated }) => {
            Ok(HttpResponse::Ok().json(answer(keys, prepared, &results, replicated)))
        }
        Err(refusal) => {
            let elsewhere = matches!(refusal, WriteRefusal::NotRunning(_) | WriteRefusal::OutcomeUnknown);
            let running = if elsewhere { shared.node.status().running.clone() } else { None };
            Err(Refused::Write.because(refusal).with_running(running))
        }
    }
}

/// What is written, or the text of what is wrong with an item.
type Prepared = Vec<Result<WriteItem, String>>;

fn prepare(body: Vec<ItemBody>, catalog: &Catalog) -> (Vec<Arc<str>>, Prepared) {
    let prepared = body.iter().map(|item| {
        let of = catalog.find(&item.key).and_then(|id| catalog.get(id)).map(|tag| tag.value_type);
        let value = to_value(&item.value, of)?;
        Ok(WriteItem { path: item.key.clone(), value, quality: Quality::GOOD, time: None })
    });
    let prepared = prepared.collect();
    (body.into_iter().map(|item| item.key).collect(), prepared)
}

/// The value of a JSON value for a tag of type `of`. Of an unknown tag any will do: the node says that it is unknown.
fn to_value(json: &Json, of: Option<ValueType>) -> Result<Value, String> {
    let mismatch = |needed: &str| Err(format!("BadTypeMismatch: {needed} is needed, {} was sent", kind(json)));
    match (of, json) {
        (Some(ValueType::Bool) | None, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Some(ValueType::Bool), _) => mismatch("true or false"),
        (Some(ValueType::Int64), Json::Number(number)) => integer(number).map(Value::Int64),
        (Some(ValueType::Int64), _) => mismatch("a whole number"),
        (Some(ValueType::Float64) | None, Json::Number(number)) => match number.as_f64() {
            Some(value) if value.is_finite() => Ok(Value::Float64(value)),
            _ => Err(format!("BadOutOfRange: {number} is too large")),
        },
        (Some(ValueType::Float64), _) => mismatch("a number"),
        (Some(ValueType::String) | None, Json::String(text)) if text.len() > MAX_STRING_BYTES => {
            Err(format!("BadOutOfRange: the text has {} bytes, at most {MAX_STRING_BYTES} are allowed", text.len()))
        }
        (Some(ValueType::String) | None, Json::String(text)) => Ok(Value::String(Arc::from(text.as_str()))),
        (Some(ValueType::String), _) => mismatch("a text"),
        (Some(ValueType::DateTime), Json::String(text)) => match rfc3339::parse(text) {
            Ok(time) => Ok(Value::DateTime(time)),
            Err(_) => mismatch("a time like 2026-01-05T08:00:00.000Z"),
        },
        (Some(ValueType::DateTime), _) => mismatch("a time like \"2026-01-05T08:00:00.000Z\""),
        (None, _) => mismatch("true, false, a number or a text"),
    }
}

/// `41.0` is a whole number too: some clients write all numbers so.
fn integer(number: &serde_json::Number) -> Result<i64, String> {
    /// From here on a double does not hold every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match (number.as_i64(), number.as_f64()) {
        (Some(value), _) => Ok(value),
        (None, Some(value)) if value.fract() != 0.0 => {
            Err(format!("BadTypeMismatch: a whole number is needed, {number} was sent"))
        }
        (None, Some(value)) if value.abs() <= EXACT => Ok(value as i64),
        _ => Err(format!("BadOutOfRange: {number} does not fit 64 bits")),
    }
}

fn kind(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) if text.chars().count() <= 40 => format!("the text '{text}'"),
        Json::String(_) => "a text".to_owned(),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// Puts the node's results, which are in the order of what it was given, back to the items of the request.
fn answer(keys: Vec<Arc<str>>, prepared: Prepared, results: &[ItemResult], replicated: bool) -> WriteAnswer {
    let mut results = results.iter();
    let mut success_count = 0;
    let data: Vec<_> = keys
        .into_iter()
        .zip(prepared)
        .map(|(key, item)| {
            let value = match item {
                Ok(item) => match results.next() {
                    Some(ItemResult::Good) => {
                        success_count += 1;
                        "Good".to_owned()
                    }
                    Some(result) => explain(*result, &item),
                    None => "Bad: the node gave no result".to_owned(),
                },
                Err(wrong) => wrong,
            };
            ItemAnswer { key, value }
        })
        .collect();
    WriteAnswer { total_count: data.len(), success_count, failed_count: data.len() - success_count, replicated, data }
}

fn explain(result: ItemResult, item: &WriteItem) -> String {
    match result {
        ItemResult::Good => "Good".to_owned(),
        ItemResult::BadNodeIdUnknown => {
            "BadNodeIdUnknown: there is no tag of this path; paths are case-sensitive, /api/v1/tags lists them"
                .to_owned()
        }
        ItemResult::BadNotWritable => {
            "BadNotWritable: the tag is not writable; 'writable' in tags.csv makes it so".to_owned()
        }
        ItemResult::BadTypeMismatch => {
            format!("BadTypeMismatch: a value of type {} does not fit the tag's type", item.value.value_type())
        }
        ItemResult::BadOutOfRange => "BadOutOfRange: the value is not finite, too long or too large".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hotpair_core::types::UnixMillis;
    use serde_json::json;

    use super::*;

    fn tag(path: &str, value_type: ValueType) -> TagDef {
        TagDef { writable: true, retain: true, ..TagDef::new(path, value_type) }
    }

    #[test]
    fn json_becomes_the_type_of_the_tag() {
        use ValueType as T;
        let time = Value::DateTime(UnixMillis(1_767_600_000_000));
        for (of, sent, value) in [
            (T::Bool, json!(true), Value::Bool(true)),
            (T::Int64, json!(-41), Value::Int64(-41)),
            (T::Int64, json!(41.0), Value::Int64(41)),
            (T::Int64, json!(i64::MAX), Value::Int64(i64::MAX)),
            (T::Float64, json!(41.5), Value::Float64(41.5)),
            (T::Float64, json!(41), Value::Float64(41.0)),
            (T::String, json!("on"), Value::String("on".into())),
            (T::DateTime, json!("2026-01-05T08:00:00Z"), time),
        ] {
            assert_eq!(to_value(&sent, Some(of)), Ok(value), "{of} {sent}");
        }
    }

    #[test]
    fn what_does_not_fit_says_what_is_needed() {
        use ValueType as T;
        for (of, sent, text) in [
            (Some(T::Bool), json!(1), "BadTypeMismatch: true or false is needed, 1 was sent"),
            (Some(T::Int64), json!(1.5), "BadTypeMismatch: a whole number is needed, 1.5 was sent"),
            (Some(T::Int64), json!(u64::MAX), "BadOutOfRange: 18446744073709551615 does not fit 64 bits"),
            (Some(T::Int64), json!(1e300), "BadOutOfRange: 1e+300 does not fit 64 bits"),
            (Some(T::Float64), json!("41.5"), "BadTypeMismatch: a number is needed, the text '41.5' was sent"),
            (Some(T::Float64), json!(null), "BadTypeMismatch: a number is needed, null was sent"),
            (Some(T::String), json!(5), "BadTypeMismatch: a text is needed, 5 was sent"),
            (None, json!([1]), "BadTypeMismatch: true, false, a number or a text is needed, a list was sent"),
        ] {
            assert_eq!(to_value(&sent, of), Err(text.to_owned()), "{sent}");
        }
        assert!(to_value(&json!("today"), Some(T::DateTime)).unwrap_err().starts_with("BadTypeMismatch: a time"));
        let long = json!("x".repeat(MAX_STRING_BYTES + 1));
        assert!(to_value(&long, Some(T::String)).unwrap_err().starts_with("BadOutOfRange"));
    }

    #[test]
    fn results_return_to_their_items() {
        let catalog = Catalog::new(vec![tag("A", ValueType::Bool), tag("B", ValueType::Int64)]).unwrap();
        let body: Vec<ItemBody> = serde_json::from_value(json!([
            {"key": "A", "value": "no"}, {"key": "B", "value": 5}, {"key": "C", "value": 1}, {"key": "A", "value": true}
        ]))
        .unwrap();
        let (keys, prepared) = prepare(body, &catalog);
        let results = [ItemResult::Good, ItemResult::BadNodeIdUnknown, ItemResult::Good];
        let written = serde_json::to_value(answer(keys, prepared, &results, true)).unwrap();
        assert_eq!(written["totalCount"], 4);
        assert_eq!(written["successCount"], 2);
        assert_eq!(written["failedCount"], 2);
        assert_eq!(written["replicated"], true);
        let texts: Vec<_> =
            (0..4).map(|i| written["data"][i]["value"].as_str().unwrap().split(':').next().unwrap()).collect();
        assert_eq!(texts, ["BadTypeMismatch", "Good", "BadNodeIdUnknown", "Good"]);
        assert_eq!(written["data"][2]["key"], "C");
    }

    #[test]
    fn a_list_of_tags_is_json_and_bounded() {
        let sample = Sample { value: Value::Float64(f64::NAN), quality: Quality::BAD, time: UnixMillis(0) };
        let mut list = TagList::default();
        for path in ["A", "B", "C"] {
            list.add(&tag(path, ValueType::Float64), &sample, 2);
        }
        assert!(list.truncated && list.error.is_none());
        list.json.push(b']');
        let read: Json = serde_json::from_slice(&list.json).unwrap();
        assert_eq!((read[0]["path"].as_str(), read[0]["type"].as_str()), (Some("A"), Some("Float64")));
        assert!(read[0]["value"].is_null() && read.as_array().unwrap().len() == 2);
    }

    #[test]
    fn an_unknown_path_has_no_value() {
        let read = serde_json::to_value(view("X", None)).unwrap();
        assert_eq!(read, json!({"path": "X", "value": null, "quality": "Bad_NodeIdUnknown", "time": null}));
    }
}
