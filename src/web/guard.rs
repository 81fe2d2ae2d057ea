//! What every request passes: who may ask, and the headers of every answer.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};

use super::Shared;
use super::error::ApiError;

const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses what another site's page sends, and adds the security headers.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let shared = request.app_data::<web::Data<Shared>>();
    let names = shared.and_then(|s| s.host_names.clone());
    let _counted = shared.map(|s| InFlight::new(&s.in_flight));
    let mut answer = match check(request.method(), request.headers(), names.as_deref()) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(refusal) => request.into_response(refusal.error_response()),
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if !answer.headers().contains_key(header::CACHE_CONTROL) {
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(answer)
}

/// `names`: host names to insist on besides `localhost` and addresses; none when any will do.
fn check(method: &Method, headers: &HeaderMap, names: Option<&[String]>) -> Result<(), ApiError> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    // Without a Host it is no browser, but a health check of a load balancer, say.
    let Some(host) = text(header::HOST) else { return Ok(()) };
    if let Some(names) = names
        && !is_local(host)
        && !names.iter().any(|name| name.eq_ignore_ascii_case(host_name(host)))
    {
        let message = format!(
            "this node is served on this machine only, and not under the name '{host}': open it as localhost, or set \
             public_address in hotpair.toml"
        );
        return Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_host", message));
    }
    // A browser lets any page read a WebSocket, unlike an answer: asking for one counts as acting.
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reads && !headers.contains_key(header::UPGRADE) {
        return Ok(());
    }
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    match origin.split_once("://") {
        Some((_, from)) if from.eq_ignore_ascii_case(host) => Ok(()),
        _ => {
            let message = format!(
                "refused: the request comes from a page of '{origin}', this node is '{host}'; behind a proxy, let it \
                 pass the header Host on"
            );
            Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_origin", message))
        }
    }
}

/// The host of `host[:port]`.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// An address cannot be made to point elsewhere by a foreign name server, a name can.
fn is_local(host: &str) -> bool {
    let name = host_name(host);
    let v6 = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || v6.is_some_and(|n| n.parse::<Ipv6Addr>().is_ok())
}

/// Counts a request while it is being answered.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &Method, host: Option<&str>, origin: Option<&str>, names: Option<&[String]>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        check(method, &headers, names).is_ok()
    }

    #[test]
    fn a_foreign_page_cannot_act() {
        let post = |host, origin| checked(&Method::POST, Some(host), origin, None);
        assert!(post("plant:8066", None));
        assert!(post("plant:8066", Some("http://plant:8066")));
        assert!(post("plant", Some("https://Plant")));
        assert!(!post("plant:8066", Some("http://plant:8067")));
        assert!(!post("plant:8066", Some("http://evil")));
        assert!(!post("plant:8066", Some("null")));
        assert!(checked(&Method::GET, Some("plant"), Some("http://evil"), None));
        assert!(!checked(&Method::DELETE, Some("plant"), Some("http://evil"), None));
    }

    #[test]
    fn a_foreign_page_cannot_open_a_websocket() {
        let open = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("plant:8066"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            check(&Method::GET, &headers, None).is_ok()
        };
        assert!(open(None) && open(Some("http://plant:8066")));
        assert!(!open(Some("http://evil")) && !open(Some("http://plant:8067")) && !open(Some("null")));
    }

    #[test]
    fn on_loopback_a_foreign_name_is_refused() {
        let names = ["hmi.plant".to_owned()];
        let get = |host| checked(&Method::GET, host, None, Some(&names));
        for host in ["localhost:8066", "127.0.0.1", "127.0.0.1:8066", "[::1]:8066", "[::1]", "HMI.plant:8066"] {
            assert!(get(Some(host)), "{host}");
        }
        assert!(get(None));
        assert!(!get(Some("rebound.evil:8066")) && !get(Some("localhost.evil")) && !get(Some("")));
    }
}
