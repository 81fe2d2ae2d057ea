//! Calls for tests: they make a part of this node fail. Only with the feature `fault-injection`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hotpair_actors::injure::{Injure, NotInjured};
use serde::Deserialize;

use super::Shared;
use super::error::ApiError;
use super::request::{Query, json_body};

/// How long a part hangs unless told otherwise: longer than anybody waits for it.
const FOR_MS: u64 = 60_000;
/// How long a mailbox stays full unless told otherwise: shorter than a hang.
const FULL_FOR_MS: u64 = 500;

/// Its content type keeps forms of other sites out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InjureBody {
    /// For how long, where the way to fail takes time.
    ms: Option<u64>,
}

pub(super) async fn parts(shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Query::of(&request, &[])?;
    Ok(HttpResponse::Ok().json(shared.node.parts()))
}

pub(super) async fn injure(
    shared: web::Data<Shared>,
    path: web::Path<(String, String)>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let (name, how) = path.into_inner();
    let InjureBody { ms } = json_body(&request, payload).await?;
    let how = way(&how, ms)?;
    match shared.node.injure(&name, how) {
        Ok(()) => Ok(HttpResponse::Accepted().json(serde_json::json!({ "part": name }))),
        Err(error) => {
            let (status, code) = match &error {
                NotInjured::Unknown { .. } => (StatusCode::NOT_FOUND, "unknown_part"),
                NotInjured::NotThere { .. } => (StatusCode::CONFLICT, "part_not_there"),
                NotInjured::Cannot { .. } => (StatusCode::CONFLICT, "cannot_fail_so"),
            };
            Err(ApiError::new(status, code, error.to_string()))
        }
    }
}

fn way(how: &str, ms: Option<u64>) -> Result<Injure, ApiError> {
    Ok(match how {
        "panic" => Injure::Panic,
        "tear" => Injure::Tear,
        "stop" => Injure::Stop,
        "hang" => Injure::Hang { ms: ms.unwrap_or(FOR_MS) },
        "stuck" => Injure::Stuck { ms: ms.unwrap_or(FOR_MS) },
        "flood" => Injure::Flood { ms: ms.unwrap_or(FULL_FOR_MS) },
        other => {
            let message = format!("nothing fails by '{other}'; known: panic, tear, stop, hang, stuck, flood");
            return Err(ApiError::bad_request(message));
        }
    })
}
