//! Errors as clients get them: `{"error": {"code", "message", "running"}}` with a fitting status code.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError, Route, web};
use hotpair_core::protocol::WriteRefusal;
use serde::Serialize;

/// An answer that says what is wrong, where, and how to mend it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    running: Option<String>,
}

/// The JSON of an [`ApiError`].
#[derive(Serialize)]
pub(super) struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
    running: Option<&'a str>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), running: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// Names the address of the Running node, for clients that go there themselves.
    pub(super) fn with_running(mut self, running: Option<String>) -> Self {
        self.running = running;
        self
    }

    pub(super) fn body(&self) -> Body<'_> {
        Body { error: Inner { code: self.code, message: &self.message, running: self.running.as_deref() } }
    }
}

impl From<WriteRefusal> for ApiError {
    fn from(refusal: WriteRefusal) -> Self {
        use StatusCode as S;
        let (status, code, message) = match refusal {
            WriteRefusal::NotRunning(why) if why.is_empty() => {
                (S::SERVICE_UNAVAILABLE, "not_running", "no node is Running: nothing was written; try again".to_owned())
            }
            WriteRefusal::NotRunning(why) => {
                (S::SERVICE_UNAVAILABLE, "not_running", format!("nothing was written: {why}; try again"))
            }
            WriteRefusal::Switching => (
                S::SERVICE_UNAVAILABLE,
                "switching",
                "nothing was written: a switch is under way and took too long; try again".to_owned(),
            ),
            WriteRefusal::Busy => (
                S::SERVICE_UNAVAILABLE,
                "busy",
                "nothing was written: too many writes are waiting; try again, with larger batches".to_owned(),
            ),
            WriteRefusal::OutcomeUnknown => (
                S::GATEWAY_TIMEOUT,
                "outcome_unknown",
                "the answer was lost with the link: it may have been written; repeat it with the same Idempotency-Key \
                 to get the first result"
                    .to_owned(),
            ),
            WriteRefusal::OperationIdReused => (
                S::CONFLICT,
                "operation_id_reused",
                "nothing was written: this Idempotency-Key was used for another write; draw a new one for each write"
                    .to_owned(),
            ),
            WriteRefusal::Disk(why) => {
                (S::INSUFFICIENT_STORAGE, "disk", format!("retained tags cannot be stored: {why}"))
            }
        };
        Self::new(status, code, message)
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
            let error = ApiError::from(refusal);
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
