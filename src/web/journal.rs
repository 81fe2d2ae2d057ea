//! Calls about the journal of alarms: what happened, oldest first.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::Shared;
use super::error::ApiError;
use super::request::Query;
use crate::alarms_shown::{AlarmPage, AlarmRow};
use crate::storage::{Journal, JournalQuery};

/// Rows that are answered when the client does not say how many.
const DEFAULT_ROWS: usize = 1000;
/// The most that can be asked for.
const MAX_ROWS: usize = 50_000;
/// Rows on a page when the client does not say how many.
const DEFAULT_PAGE: usize = 100;
/// The largest page.
const MAX_PAGE: usize = 10_000;
/// Paths of one request.
const MAX_PATHS: usize = 100;

type Answer = Result<HttpResponse, ApiError>;

pub(super) async fn rows(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["startTime", "endTime", "path", "limit"])?;
    let limit = query.limit(DEFAULT_ROWS, MAX_ROWS)?;
    // One more than asked for shows whether there are more.
    let wanted = JournalQuery { limit: limit + 1, offset: 0, ..span(&query)? };
    let mut rows = read(&shared, move |journal| to_rows(journal, &wanted)).await?;
    let truncated = rows.len() > limit;
    rows.truncate(limit);
    Ok(HttpResponse::Ok().insert_header(("Hotpair-Truncated", if truncated { "true" } else { "false" })).json(rows))
}

pub(super) async fn page(shared: web::Data<Shared>, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["startTime", "endTime", "path", "pageIndex", "pageSize"])?;
    let page_size = query.number("pageSize", DEFAULT_PAGE, 1..=MAX_PAGE)?;
    let page_index = query.number("pageIndex", 0, 0..=u64::MAX / MAX_PAGE as u64)?;
    let wanted = JournalQuery { limit: page_size, offset: page_index * page_size as u64, ..span(&query)? };
    let page = read(&shared, move |journal| {
        let total_count = journal.count(&wanted)?;
        let data = if wanted.offset < total_count { to_rows(journal, &wanted)? } else { Vec::new() };
        Ok(AlarmPage { total_count, page_index, page_size, data })
    });
    Ok(HttpResponse::Ok().json(page.await?))
}

fn span(query: &Query) -> Result<JournalQuery, ApiError> {
    let (start, end) = (query.time("startTime")?, query.time("endTime")?);
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(ApiError::bad_request("startTime is after endTime"));
    }
    let path = query.all("path", MAX_PATHS)?.into_iter().map(str::to_owned).collect();
    Ok(JournalQuery { start, end, path, ..JournalQuery::default() })
}

fn to_rows(journal: &Journal, query: &JournalQuery) -> Result<Vec<AlarmRow>, String> {
    Ok(journal.query(query)?.iter().map(AlarmRow::from).collect())
}

/// Not on the thread that serves the other requests: a disk may take its time.
async fn read<T: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Journal) -> Result<T, String> + Send + 'static,
) -> Result<T, ApiError> {
    let node = shared.node.clone();
    let done = web::block(move || read(node.journal())).await.map_err(|error| error.to_string()).and_then(|read| read);
    done.map_err(|error| {
        let message = format!("the journal cannot be read: {error}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    })
}
