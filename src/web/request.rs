//! What comes in: bodies, queries and headers, checked against limits, with errors that say where.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, web};
use hotpair_core::protocol::{MAX_OPERATION_ID_BYTES, OperationId};
use hotpair_core::types::UnixMillis;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::status::rfc3339;

/// The largest body of a request.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// A body must have arrived within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest reason that goes into the list of events.
const MAX_REASON_BYTES: usize = 500;

/// The JSON body of a request. Insists on its content type, because a form of a foreign site cannot send that one.
pub(super) async fn json_body<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<T, ApiError> {
    if !is_json(request) {
        let message = "the body must be JSON: send the header Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, payload.to_bytes_limited(MAX_BODY_BYTES))
        .await
        .map_err(|_| {
            let message = format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs());
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
        })?
        .map_err(|_| too_large())?
        .map_err(|error| ApiError::bad_request(format!("the body did not arrive completely: {error}")))?;
    parse_json(&body, "the body")
}

fn too_large() -> ApiError {
    let message = format!("the body is larger than {MAX_BODY_BYTES} bytes: send it in parts");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
}

fn is_json(request: &HttpRequest) -> bool {
    let sent = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The value of a JSON text, which errors call `name`. They tell the place in the value and in the text.
pub(super) fn parse_json<T: DeserializeOwned>(text: &[u8], name: &str) -> Result<T, ApiError> {
    let mut text = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut text).map_err(|error| {
        let place = error.path().to_string();
        let what = error.into_inner();
        let kind = if what.is_data() { "does not fit" } else { "is not valid JSON" };
        ApiError::bad_request(if place == "." {
            format!("{name} {kind}: {what}")
        } else {
            format!("{name} {kind}: at {place}: {what}")
        })
    })?;
    text.end().map_err(|error| ApiError::bad_request(format!("{name} is not valid JSON: {error}")))?;
    Ok(value)
}

/// The parameters of a query; a name may repeat.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Refuses names other than these.
    pub(super) fn of(request: &HttpRequest, names: &[&str]) -> Result<Self, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| ApiError::bad_request(format!("the query cannot be read: {error}")))?
            .into_inner();
        if let Some((unknown, _)) = pairs.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(ApiError::bad_request(format!("unknown query parameter '{unknown}'; known: {known}")));
        }
        Ok(Self(pairs))
    }

    /// All values of a name, at most `max` of them.
    pub(super) fn all(&self, name: &str, max: usize) -> Result<Vec<&str>, ApiError> {
        let values: Vec<_> = self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect();
        if values.len() > max {
            let found = values.len();
            return Err(ApiError::bad_request(format!("{found} times '{name}': at most {max} are allowed")));
        }
        Ok(values)
    }

    /// `limit`, from 1 to `max`.
    pub(super) fn limit(&self, default: usize, max: usize) -> Result<usize, ApiError> {
        self.number("limit", default, 1..=max)
    }

    /// A whole number of this range.
    pub(super) fn number<N: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        default: N,
        range: RangeInclusive<N>,
    ) -> Result<N, ApiError> {
        let Some(text) = self.all(name, 1)?.first().copied() else { return Ok(default) };
        let (least, most) = (range.start(), range.end());
        let wrong = || ApiError::bad_request(format!("{name}={text}: a whole number from {least} to {most} is needed"));
        text.parse().ok().filter(|n| range.contains(n)).ok_or_else(wrong)
    }

    /// `true` or `false`, which it is by default.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.all(name, 1)?.first().copied() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => Err(ApiError::bad_request(format!("{name}={text}: true or false is needed"))),
        }
    }

    /// A time.
    pub(super) fn time(&self, name: &str) -> Result<Option<UnixMillis>, ApiError> {
        let Some(text) = self.all(name, 1)?.first().copied() else { return Ok(None) };
        let wrong = |error| {
            let message = format!("{name}={text}: a time like 2026-01-05T08:00:00.000Z is needed ({error})");
            ApiError::bad_request(message)
        };
        rfc3339::parse(text).map(Some).map_err(wrong)
    }
}

/// The header `Idempotency-Key`.
pub(super) fn operation_id(request: &HttpRequest) -> Result<Option<OperationId>, ApiError> {
    let mut sent = request.headers().get_all("Idempotency-Key");
    let Some(key) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(ApiError::bad_request("the header Idempotency-Key stands there more than once"));
    }
    let key = key.to_str().map_err(|_| ApiError::bad_request("Idempotency-Key must be plain ASCII text"))?;
    operation_id_of("Idempotency-Key", key).map(Some)
}

/// An operation id that a client sent as `name`.
pub(super) fn operation_id_of(name: &str, id: &str) -> Result<OperationId, ApiError> {
    if id.is_empty() || id.len() > MAX_OPERATION_ID_BYTES {
        let found = id.len();
        let message =
            format!("{name} has {found} characters: 1 to {MAX_OPERATION_ID_BYTES} are allowed, a UUID for example");
        return Err(ApiError::bad_request(message));
    }
    Ok(OperationId::from(id))
}

/// A reason for the list of events: trimmed, of a limited length, without control characters.
pub(super) fn reason(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.len() > MAX_REASON_BYTES {
        let found = text.len();
        return Err(ApiError::bad_request(format!("reason has {found} bytes: at most {MAX_REASON_BYTES} are allowed")));
    }
    Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// Who asks, for the list of events.
pub(super) fn user(request: &HttpRequest) -> String {
    request.peer_addr().map_or_else(|| "HTTP".to_owned(), |address| format!("HTTP from {}", address.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[expect(dead_code, reason = "only its errors matter here")]
        key: String,
    }

    #[test]
    fn errors_of_bodies_say_where() {
        for (body, parts) in [
            (r#"[{"key": "A"}, {"kay": "B"}]"#, &["does not fit", "[1]", "unknown field `kay`", "line 1 column"][..]),
            (r#"[{"key": 1}]"#, &["[0].key", "invalid type: integer `1`"]),
            (r#"[{"key": "A"},"#, &["not valid JSON", "EOF", "line 1 column"]),
            (r#"[{"key": "A"}] x"#, &["not valid JSON", "trailing characters"]),
            ("", &["not valid JSON", "EOF"]),
            ("\u{feff}[]", &["not valid JSON"]),
        ] {
            let message = parse_json::<Vec<Item>>(body.as_bytes(), "the body").unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{body}: {message}");
        }
        assert_eq!(parse_json::<Vec<Item>>(br#" [{"key": "A"}] "#, "the body").unwrap().len(), 1);
        let deep = "[".repeat(100_000);
        assert!(parse_json::<serde_json::Value>(deep.as_bytes(), "the body").is_err());
    }

    #[actix_web::test]
    async fn bodies_have_a_type_and_a_size() {
        async fn read(request: TestRequest) -> Result<serde_json::Value, ApiError> {
            let (request, payload) = request.to_http_parts();
            let payload = <web::Payload as actix_web::FromRequest>::from_request(&request, &mut { payload }).await;
            json_body(&request, payload.unwrap()).await
        }
        use actix_web::ResponseError;
        let form = TestRequest::post().insert_header(("Content-Type", "text/plain")).set_payload("{}");
        assert_eq!(read(form).await.unwrap_err().status_code(), 415);
        let json = || TestRequest::post().insert_header(("Content-Type", "application/json; charset=utf-8"));
        assert!(read(json().set_payload("{}")).await.is_ok());
        let large = " ".repeat(MAX_BODY_BYTES + 1);
        assert_eq!(read(json().set_payload(large)).await.unwrap_err().status_code(), 413);
    }

    #[test]
    fn queries() {
        let of = |uri: &str| Query::of(&TestRequest::with_uri(uri).to_http_request(), &["path", "limit"]);
        let query = of("/x?path=A%20b&path=B&limit=5").unwrap();
        assert_eq!(query.all("path", 2).unwrap(), ["A b", "B"]);
        assert!(query.all("path", 1).is_err());
        assert_eq!(query.limit(1000, 9).unwrap(), 5);
        assert_eq!(of("/x").unwrap().limit(1000, 9).unwrap(), 1000);
        assert!(of("/x?pfad=A").unwrap_err().to_string().contains("'pfad'; known: path, limit"));
        let of = |uri: &str| Query::of(&TestRequest::with_uri(uri).to_http_request(), &["limit", "on", "at"]);
        assert!(of("/x?on=true").unwrap().flag("on").unwrap() && !of("/x").unwrap().flag("on").unwrap());
        assert!(of("/x?on=1").unwrap().flag("on").is_err());
        let time = |text: &str| of(&format!("/x?at={text}")).unwrap().time("at");
        assert_eq!(time("2026-01-05T09:00:00%2B01:00").unwrap(), Some(UnixMillis(1_767_600_000_000)));
        assert!(time("2026-01-05").is_err() && of("/x").unwrap().time("at").unwrap().is_none());
        for wrong in ["0", "10", "-1", "many", "", "1&limit=2"] {
            assert!(of(&format!("/x?limit={wrong}")).unwrap().limit(1, 9).is_err(), "{wrong}");
        }
    }

    #[test]
    fn operation_ids() {
        let of =
            |key: &str| operation_id(&TestRequest::post().insert_header(("Idempotency-Key", key)).to_http_request());
        assert_eq!(of("4f1c").unwrap().as_deref(), Some("4f1c"));
        assert!(operation_id(&TestRequest::post().to_http_request()).unwrap().is_none());
        assert!(of("").is_err() && of(&"x".repeat(MAX_OPERATION_ID_BYTES + 1)).is_err());
        assert!(of(&"x".repeat(MAX_OPERATION_ID_BYTES)).is_ok());
    }

    #[test]
    fn reasons_are_one_line() {
        assert_eq!(reason("  new\npump ").unwrap(), "new pump");
        assert!(reason(&"x".repeat(501)).is_err());
    }
}
