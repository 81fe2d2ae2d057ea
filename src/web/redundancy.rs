//! Calls about the pair: status, switch, hold, events.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::Shared;
use super::error::ApiError;
use super::request::{self, Query, json_body};
use crate::node::{HoldRefused, SwitchOrder, SwitchRefused};
use crate::status::node_id;

/// Events that are answered when the client does not say how many.
const DEFAULT_EVENTS: usize = 50;
/// The most that can be asked for.
const MAX_EVENTS: usize = 1000;

type Answer = Result<HttpResponse, ApiError>;

pub(super) async fn status(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    Query::of(&request, &[])?;
    Ok(HttpResponse::Ok().json(&*shared.node.status()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SwitchBody {
    #[serde(default)]
    reason: String,
    expected_epoch: Option<u64>,
    to: Option<String>,
}

impl SwitchBody {
    fn order(self, user: String) -> Result<SwitchOrder, ApiError> {
        let to = self.to.as_deref().map(node_id::parse).transpose();
        let to = to.map_err(|error| ApiError::bad_request(format!("to: {error}")))?;
        Ok(SwitchOrder { reason: request::reason(&self.reason)?, user, expected_epoch: self.expected_epoch, to })
    }
}

pub(super) async fn switch(shared: web::Data<Shared>, request: HttpRequest, payload: web::Payload) -> Answer {
    let body: SwitchBody = json_body(&request, payload).await?;
    let order = body.order(request::user(&request))?;
    match shared.node.switch(order).await {
        Ok(status) => Ok(HttpResponse::Ok().json(&*status)),
        Err(SwitchRefused(why)) => Err(refused(&shared, "switch_refused", why)),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    minutes: u32,
    #[serde(default)]
    reason: String,
}

pub(super) async fn hold(shared: web::Data<Shared>, request: HttpRequest, payload: web::Payload) -> Answer {
    let body: HoldBody = json_body(&request, payload).await?;
    if body.minutes == 0 {
        return Err(ApiError::bad_request("minutes: at least 1 is needed; DELETE ends a hold"));
    }
    let reason = request::reason(&body.reason)?;
    match shared.node.hold(body.minutes, reason, request::user(&request)).await {
        Ok(status) => Ok(HttpResponse::Ok().json(&*status)),
        Err(HoldRefused(why)) => Err(refused(&shared, "hold_refused", why)),
    }
}

pub(super) async fn release_hold(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    match shared.node.release_hold(request::user(&request)).await {
        Ok(status) => Ok(HttpResponse::Ok().json(&*status)),
        Err(HoldRefused(why)) => Err(refused(&shared, "hold_refused", why)),
    }
}

/// An empty JSON object: its content type keeps forms of other sites out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NothingBody {}

pub(super) async fn clear_fault(shared: web::Data<Shared>, request: HttpRequest, payload: web::Payload) -> Answer {
    let NothingBody {} = json_body(&request, payload).await?;
    match shared.node.clear_fault(request::user(&request)).await {
        Ok(()) => Ok(HttpResponse::Ok().json(&*shared.node.status())),
        Err(why) => Err(refused(&shared, "clear_fault_refused", why)),
    }
}

pub(super) async fn events(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    let limit = Query::of(&request, &["limit"])?.limit(DEFAULT_EVENTS, MAX_EVENTS)?;
    Ok(HttpResponse::Ok().json(shared.node.events(limit)))
}

pub(super) async fn actors(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    Query::of(&request, &[])?;
    Ok(HttpResponse::Ok().json(shared.node.actors()))
}

pub(super) async fn license(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    Query::of(&request, &[])?;
    Ok(HttpResponse::Ok().json(shared.node.license()))
}

fn refused(shared: &Shared, code: &'static str, why: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, code, why).with_running(shared.node.status().running.clone())
}

#[cfg(test)]
mod tests {
    use hotpair_core::types::NodeId;

    use super::*;

    #[test]
    fn orders_of_a_switch() {
        let of = |body: &str| serde_json::from_str::<SwitchBody>(body).unwrap().order("ann".to_owned());
        let order = of(r#"{"reason": " test ", "expectedEpoch": 7, "to": "91ab"}"#).unwrap();
        assert_eq!((order.reason.as_str(), order.expected_epoch, order.to), ("test", Some(7), Some(NodeId(0x91ab))));
        let order = of("{}").unwrap();
        assert_eq!((order.reason.as_str(), order.expected_epoch, order.to), ("", None, None));
        assert!(of(r#"{"to": "backup"}"#).unwrap_err().to_string().starts_with("to: 'backup' is not a node id"));
        assert!(serde_json::from_str::<SwitchBody>(r#"{"expected_epoch": 7}"#).is_err());
        assert!(serde_json::from_str::<HoldBody>(r#"{"minutes": -1}"#).is_err());
    }
}
