//! Calls about alarms: the list, acknowledging, shelving.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hotpair_core::alarms::{
    AlarmAction, AlarmId, AlarmPriority, AlarmRequest, AlarmResult, MAX_COMMENT_BYTES, MAX_SHELF_PATH_BYTES,
    MAX_SHELVING_MS, MAX_SHELVINGS, Who,
};
use hotpair_core::catalog::path_matches;
use hotpair_core::protocol::{AlarmOutcome, OperationId, WriteRefusal};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::error::{ApiError, Refused};
use super::request::{self, Query, json_body, operation_id, operation_id_of};
use crate::alarms_shown::{AlarmShown, event_id};
use crate::node::NodeHandle;

/// Alarms that are answered when the client does not say how many.
const DEFAULT_ALARMS: usize = 1000;
/// The most that can be asked for.
const MAX_ALARMS: usize = 100_000;
/// Paths of one request.
const MAX_PATHS: usize = 100;
/// So many alarms are read at a time, so that the table is held only for a moment.
const READ_AT_A_TIME: usize = 256;

const MINUTE_MS: u64 = 60_000;

type Answer = Result<HttpResponse, ApiError>;

/// Which alarms a client wants to see.
struct Filter {
    paths: Vec<String>,
    /// Empty: all.
    priorities: Vec<AlarmPriority>,
    shelved: bool,
    limit: usize,
}

impl Filter {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let query = Query::of(request, &["path", "priority", "shelved", "limit"])?;
        let priorities = query.all("priority", 4)?.into_iter().map(priority).collect::<Result<_, _>>()?;
        let paths = query.all("path", MAX_PATHS)?.into_iter().map(str::to_owned).collect();
        Ok(Self { paths, priorities, shelved: query.flag("shelved")?, limit: query.limit(DEFAULT_ALARMS, MAX_ALARMS)? })
    }
}

fn priority(text: &str) -> Result<AlarmPriority, ApiError> {
    use AlarmPriority as P;
    let known = [P::Low, P::Medium, P::High, P::Critical].into_iter().find(|known| format!("{known:?}") == text);
    known.ok_or_else(|| ApiError::bad_request(format!("priority={text}: Low, Medium, High or Critical is needed")))
}

pub(super) async fn list(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    let filter = Filter::of(&request)?;
    let node = shared.node.clone();
    // Many alarms take a while: not on the thread that serves the other requests.
    let found = web::block(move || {
        let mut ids = fitting(&node, &filter);
        let truncated = ids.len() > filter.limit;
        ids.truncate(filter.limit);
        (shown(&node, &ids), truncated)
    });
    let (alarms, truncated) = found.await.map_err(|error| {
        let message = format!("alarms cannot be listed: {error}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    })?;
    Ok(HttpResponse::Ok().insert_header(("Hotpair-Truncated", if truncated { "true" } else { "false" })).json(alarms))
}

/// The most urgent first, of equal ones the newest.
fn fitting(node: &NodeHandle, filter: &Filter) -> Vec<AlarmId> {
    let table = node.alarm_table();
    let list = table.list().clone();
    let live: Vec<_> =
        table.live().map(|(id, live)| (id, live.active_time, filter.shelved || !table.is_shelved(id))).collect();
    drop(table);
    let fits = |pattern: &String, path: &str, name: &str| {
        path_matches(pattern, path) || path_matches(pattern, &format!("{path}/{name}"))
    };
    let mut fitting: Vec<_> = live
        .into_iter()
        .filter(|(.., wanted)| *wanted)
        .filter_map(|(id, since, _)| Some((id, since, list.get(id)?)))
        .filter(|(.., def)| filter.priorities.is_empty() || filter.priorities.contains(&def.priority))
        .filter(|(.., def)| filter.paths.is_empty() || filter.paths.iter().any(|p| fits(p, &def.path, &def.name)))
        .map(|(id, since, def)| (def.priority, since, id))
        .collect();
    fitting.sort_unstable_by(|a, b| b.cmp(a));
    fitting.into_iter().map(|(.., id)| id).collect()
}

/// Those of them that are still live.
fn shown(node: &NodeHandle, ids: &[AlarmId]) -> Vec<AlarmShown> {
    let read = |ids: &[AlarmId]| -> Vec<_> {
        let table = node.alarm_table();
        ids.iter().filter_map(|id| AlarmShown::of(&table, *id)).filter(|alarm| alarm.event_id.is_some()).collect()
    };
    ids.chunks(READ_AT_A_TIME).flat_map(read).collect()
}

pub(super) async fn shelved(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    Query::of(&request, &[])?;
    Ok(HttpResponse::Ok().json(shared.node.shelvings()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CommentBody {
    #[serde(default)]
    comment: String,
    operation_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ShelveBody {
    path: String,
    minutes: u64,
    #[serde(default)]
    comment: String,
    operation_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UnshelveBody {
    path: String,
    #[serde(default)]
    comment: String,
    operation_id: Option<String>,
}

pub(super) async fn acknowledge(
    shared: web::Data<Shared>,
    request: HttpRequest,
    event: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let event = event_id::parse(&event).map_err(ApiError::bad_request)?;
    let body: CommentBody = json_body(&request, payload).await?;
    let action = AlarmAction::Acknowledge { event, comment: text(&body.comment) };
    operate(&shared, &request, action, body.operation_id).await
}

pub(super) async fn comment(
    shared: web::Data<Shared>,
    request: HttpRequest,
    event: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let event = event_id::parse(&event).map_err(ApiError::bad_request)?;
    let body: CommentBody = json_body(&request, payload).await?;
    let action = AlarmAction::Comment { event, comment: text(&body.comment) };
    operate(&shared, &request, action, body.operation_id).await
}

pub(super) async fn shelve(shared: web::Data<Shared>, request: HttpRequest, payload: web::Payload) -> Answer {
    let body: ShelveBody = json_body(&request, payload).await?;
    let for_ms = body.minutes.saturating_mul(MINUTE_MS);
    let action = AlarmAction::Shelve { path: body.path.into(), for_ms, comment: text(&body.comment) };
    operate(&shared, &request, action, body.operation_id).await
}

pub(super) async fn unshelve(shared: web::Data<Shared>, request: HttpRequest, payload: web::Payload) -> Answer {
    let body: UnshelveBody = json_body(&request, payload).await?;
    let action = AlarmAction::Unshelve { path: body.path.into(), comment: text(&body.comment) };
    operate(&shared, &request, action, body.operation_id).await
}

#[derive(Serialize)]
struct Done {
    result: AlarmResult,
    replicated: bool,
}

async fn operate(shared: &Shared, request: &HttpRequest, action: AlarmAction, id: Option<String>) -> Answer {
    let who = Who { operator: request::user(request).into(), node: shared.node.id() };
    let request = AlarmRequest { action, who, operation: operation(request, id)? };
    match shared.node.operate(request).await {
        AlarmOutcome::Done { result: AlarmResult::Good, replicated } => {
            Ok(HttpResponse::Ok().json(Done { result: AlarmResult::Good, replicated }))
        }
        AlarmOutcome::Done { result, .. } => Err(explain(result)),
        AlarmOutcome::Refused(refusal) => {
            let elsewhere = matches!(refusal, WriteRefusal::NotRunning(_) | WriteRefusal::OutcomeUnknown);
            let running = if elsewhere { shared.node.status().running.clone() } else { None };
            Err(Refused::Alarm.because(refusal).with_running(running))
        }
    }
}

/// The id may stand in the body or in the header.
fn operation(request: &HttpRequest, in_body: Option<String>) -> Result<Option<OperationId>, ApiError> {
    let in_header = operation_id(request)?;
    let in_body = in_body.map(|id| operation_id_of("operationId", &id)).transpose()?;
    match (in_header, in_body) {
        (Some(header), Some(body)) if header != body => Err(ApiError::bad_request(
            "the header Idempotency-Key and operationId say different things: send one of them",
        )),
        (header, body) => Ok(body.or(header)),
    }
}

/// One line: what an operator typed or pasted, without control characters.
fn text(comment: &str) -> Arc<str> {
    comment.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().into()
}

/// What is wrong with a request that was judged, and how to mend it.
fn explain(result: AlarmResult) -> ApiError {
    use StatusCode as S;
    let (status, code, message) = match result {
        // Not an error; it does not come here.
        AlarmResult::Good => (S::INTERNAL_SERVER_ERROR, "internal", "it is done".to_owned()),
        AlarmResult::BadEventIdUnknown => (
            S::NOT_FOUND,
            "event_unknown",
            "no alarm of this event id waits for anybody: it is over, or another occurrence took its place; \
             /api/v1/alarms lists those that do"
                .to_owned(),
        ),
        AlarmResult::BadConditionBranchAlreadyAcked => {
            (S::CONFLICT, "already_acknowledged", "this occurrence was acknowledged before".to_owned())
        }
        AlarmResult::BadCommentMissing => {
            (S::BAD_REQUEST, "comment_missing", "a comment is needed here: say why".to_owned())
        }
        AlarmResult::BadNodeIdUnknown => (
            S::NOT_FOUND,
            "path_unknown",
            "no alarm fits this path: give a tag's path, that and an alarm's name behind a '/', or '*' for any \
             characters"
                .to_owned(),
        ),
        AlarmResult::BadConditionNotShelved => (
            S::CONFLICT,
            "not_shelved",
            "this path is not shelved; /api/v1/alarms/shelved lists those that are".to_owned(),
        ),
        AlarmResult::BadShelvingTimeOutOfRange => {
            let most = MAX_SHELVING_MS / MINUTE_MS;
            (S::BAD_REQUEST, "shelving_time", format!("a shelving lasts from 1 to {most} minutes"))
        }
        AlarmResult::BadOutOfRange => (
            S::BAD_REQUEST,
            "out_of_range",
            format!(
                "a comment may have {MAX_COMMENT_BYTES} bytes, a path {MAX_SHELF_PATH_BYTES} and no control characters, \
                 and {MAX_SHELVINGS} paths may be shelved at a time"
            ),
        ),
    };
    ApiError::new(status, code, message).with_result(result)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn filters() {
        let of = |uri: &str| Filter::of(&TestRequest::with_uri(uri).to_http_request());
        let filter = of("/x?path=Plant/*&priority=High&priority=Critical&shelved=true&limit=5").unwrap();
        assert_eq!(filter.paths, ["Plant/*"]);
        assert_eq!(filter.priorities, [AlarmPriority::High, AlarmPriority::Critical]);
        assert_eq!((filter.shelved, filter.limit), (true, 5));
        let filter = of("/x").unwrap();
        assert!(filter.paths.is_empty() && filter.priorities.is_empty() && !filter.shelved);
        for wrong in ["priority=high", "priority=", "shelved=yes", "shelved", "limit=0", "state=Active"] {
            assert!(of(&format!("/x?{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_result_has_its_status_and_says_what_to_do() {
        use actix_web::ResponseError;
        for (result, status) in [
            (AlarmResult::BadEventIdUnknown, 404),
            (AlarmResult::BadConditionBranchAlreadyAcked, 409),
            (AlarmResult::BadCommentMissing, 400),
            (AlarmResult::BadNodeIdUnknown, 404),
            (AlarmResult::BadConditionNotShelved, 409),
            (AlarmResult::BadShelvingTimeOutOfRange, 400),
            (AlarmResult::BadOutOfRange, 400),
        ] {
            let error = explain(result);
            assert_eq!(error.status_code(), status, "{result}");
            let body = serde_json::to_value(error.body()).unwrap();
            assert_eq!(body["result"], result.to_string());
            assert!(body["error"]["message"].as_str().unwrap().len() > 20, "{body}");
        }
    }

    #[test]
    fn an_operation_id_stands_in_the_body_or_in_the_header() {
        let with = |header: Option<&str>, body: Option<&str>| {
            let request = header.iter().fold(TestRequest::post(), |r, id| r.insert_header(("Idempotency-Key", *id)));
            operation(&request.to_http_request(), body.map(str::to_owned)).map(|id| id.map(|id| id.to_string()))
        };
        assert_eq!(with(None, None).unwrap(), None);
        assert_eq!(with(Some("a"), None).unwrap().unwrap(), "a");
        assert_eq!(with(None, Some("b")).unwrap().unwrap(), "b");
        assert_eq!(with(Some("a"), Some("a")).unwrap().unwrap(), "a");
        assert!(with(Some("a"), Some("b")).is_err() && with(None, Some("")).is_err());
    }

    #[test]
    fn comments_are_one_line() {
        assert_eq!(&*text(" pump\r\nreplaced\t "), "pump  replaced");
    }
}
