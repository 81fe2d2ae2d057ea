//! What load balancers and service managers ask.

use actix_web::{HttpResponse, web};
use hotpair_core::types::Status;
use serde_json::json;

use super::Shared;

/// 200: the server answers.
pub(super) async fn live(shared: web::Data<Shared>) -> HttpResponse {
    answer(&shared, |_| true)
}

/// 200 when the node takes part in the pair.
pub(super) async fn ready(shared: web::Data<Shared>) -> HttpResponse {
    answer(&shared, |status| matches!(status, Status::Running | Status::Standby))
}

/// 200 on the Running node only.
pub(super) async fn running(shared: web::Data<Shared>) -> HttpResponse {
    answer(&shared, |status| status == Status::Running)
}

fn answer(shared: &Shared, healthy: fn(Status) -> bool) -> HttpResponse {
    let status = shared.node.status().node.status;
    let mut answer = if healthy(status) { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(json!({"status": status}))
}
