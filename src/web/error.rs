//! Errors as clients get them: `{"error": {"code", "message", "running"}}` with a fitting status code.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError, Route, web};
use hotpair_core::alarms::AlarmResult;
use hotpair_core::protocol::WriteRefusal;
use serde::Serialize;

/// An answer that says what is wrong, where, and how to mend it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    running: Option<String>,
    /// The name that the standard has for it.
    result: Option<AlarmResult>,
}

/// The JSON of an [`ApiError`].
#[derive(Serialize)]
pub(super) struct Body<'a> {
    error: Inner<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<AlarmResult>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
    running: Option<&'a str>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), running: None, result: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// Names the address of the Running node, for clients that go there themselves.
    pub(super) fn with_running(mut self, running: Option<String>) -> Self {
        self.running = running;
        self
    }

    /// Says what came of a request of an operator, besides the code.
    pub(super) fn with_result(mut self, result: AlarmResult) -> Self {
        self.result = Some(result);
        self
    }

    pub(super) fn body(&self) -> Body<'_> {
        let error = Inner { code: self.code, message: &self.message, running: self.running.as_deref() };
        Body { error, result: self.result }
    }
}

/// What was refused, as its errors call it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    /// A write of tags.
    Write,
    /// A request of an operator about alarms.
    Alarm,
}

impl Refused {
    /// The error of why it was refused as a whole.
    pub(super) fn because(self, refusal: WriteRefusal) -> ApiError {
        use StatusCode as S;
        let (nothing, too_many, done, id, disk) = match self {
            Self::Write => (
                "nothing was written",
                "too many writes are waiting; try again, with larger batches",
                "it may have been written",
                "Idempotency-Key",
                "retained tags cannot be stored",
            ),
            Self::Alarm => (
                "nothing was done",
                "too many requests are waiting; try again",
                "it may have been done",
                "operationId",
                "the journal of alarms cannot be stored, and nothing was done",
            ),
        };
        let (status, code, message) = match refusal {
            WriteRefusal::NotRunning(why) if why.is_empty() => {
                (S::SERVICE_UNAVAILABLE, "not_running", format!("no node is Running: {nothing}; try again"))
            }
            WriteRefusal::NotRunning(why) => {
                (S::SERVICE_UNAVAILABLE, "not_running", format!("{nothing}: {why}; try again"))
            }
            WriteRefusal::Switching => (
                S::SERVICE_UNAVAILABLE,
                "switching",
                format!("{nothing}: a switch is under way and took too long; try again"),
            ),
            WriteRefusal::Busy => (S::SERVICE_UNAVAILABLE, "busy", format!("{nothing}: {too_many}")),
            WriteRefusal::OutcomeUnknown => (
                S::GATEWAY_TIMEOUT,
                "outcome_unknown",
                format!(
                    "the answer was lost with the link: {done}; repeat it with the same {id} to get the first result"
                ),
            ),
            WriteRefusal::OperationIdReused => (
                S::CONFLICT,
                "operation_id_reused",
                format!("{nothing}: this {id} was used for something else; draw a new one each time"),
            ),
            WriteRefusal::Disk(why) => (S::INSUFFICIENT_STORAGE, "disk", format!("{disk}: {why}")),
        };
        ApiError::new(status, code, message)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((header::RETRY_AFTER, "1"));
        }
        answer.json(self.body())
    }
}

/// Answers every path that is not served.
pub(super) async fn not_found(request: HttpRequest) -> HttpResponse {
    let message = format!("there is nothing at {}", request.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message).error_response()
}

/// Answers the methods that a path does not have; `allowed` as in the header `Allow`.
pub(super) fn method_not_allowed(allowed: &'static str) -> Route {
    web::to(move |request: HttpRequest| async move {
        let message = format!("{} does not take {}: use {allowed}", request.path(), request.method());
        let mut answer = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).error_response();
        answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_code() {
        for (refusal, status, code) in [
            (WriteRefusal::NotRunning(String::new()), 503, "not_running"),
            (WriteRefusal::NotRunning("the Master is starting".to_owned()), 503, "not_running"),
            (WriteRefusal::Switching, 503, "switching"),
            (WriteRefusal::Busy, 503, "busy"),
            (WriteRefusal::OutcomeUnknown, 504, "outcome_unknown"),
            (WriteRefusal::OperationIdReused, 409, "operation_id_reused"),
            (WriteRefusal::Disk("disk full".to_owned()), 507, "disk"),
        ] {
            let error = Refused::Write.because(refusal.clone());
            assert_eq!(Refused::Alarm.because(refusal).code, code);
            assert_eq!((error.status.as_u16(), error.code), (status, code));
            let answer = error.error_response();
            assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), status == 503, "{code}");
        }
    }

    #[actix_web::test]
    async fn the_body_names_the_running_node() {
        let error = ApiError::new(StatusCode::CONFLICT, "switch_refused", "not in sync")
            .with_running(Some("http://10.0.0.1:8066".to_owned()));
        let body = actix_web::body::to_bytes(error.error_response().into_body()).await.unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
            serde_json::json!({"error": {"code": "switch_refused", "message": "not in sync", "running": "http://10.0.0.1:8066"}})
        );
    }
}
