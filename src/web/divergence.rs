//! Divergence reports: their list, and each as a download.

use std::io;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::Shared;
use super::error::ApiError;
use super::request::Query;
use crate::node::NodeHandle;

type Answer = Result<HttpResponse, ApiError>;

pub(super) async fn list(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    Query::of(&request, &[])?;
    Ok(HttpResponse::Ok().json(from_disk(&shared, NodeHandle::divergence_reports).await?))
}

pub(super) async fn file(shared: web::Data<Shared>, request: HttpRequest, name: web::Path<String>) -> Answer {
    Query::of(&request, &[])?;
    let name = name.into_inner();
    let wanted = name.clone();
    let Some(json) = from_disk(&shared, move |node| node.divergence_report(&wanted)).await? else {
        let message = format!("there is no divergence report '{name}'; /api/v1/redundancy/divergence lists them");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", message));
    };
    // The name of a report that exists has only letters, digits, '-' and '.': it needs no escapes.
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .body(json))
}

/// Not on the thread that serves the other requests: a disk may take its time.
async fn from_disk<T: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&NodeHandle) -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let node = shared.node.clone();
    let read = web::block(move || read(&node)).await.map_err(io::Error::other).and_then(|read| read);
    read.map_err(|error| {
        let message = format!("divergence reports cannot be read from the data folder: {error}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    })
}
