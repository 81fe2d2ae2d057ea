//! The page: its files are part of the program.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use rust_embed::RustEmbed;

use super::error::ApiError;

#[derive(RustEmbed)]
#[folder = "src/web/ui/"]
struct Files;

pub(super) async fn index(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer(&request, "index.html")
}

pub(super) async fn file(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    answer(&request, &name)
}

fn answer(request: &HttpRequest, name: &str) -> Result<HttpResponse, ApiError> {
    let missing = || ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("the page has no file '{name}'"));
    let content_type = content_type(name).ok_or_else(missing)?;
    let file = Files::get(name).ok_or_else(missing)?;
    let hash = file.metadata.sha256_hash();
    let tag = header::EntityTag::new_strong(format!(
        "{:032x}",
        u128::from_be_bytes(*hash.first_chunk().ok_or_else(missing)?)
    ));
    let held = request.headers().get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    // A browser asks each time, so that after an update nobody sees an old page with a new node.
    if held == Some(tag.to_string().as_str()) {
        return Ok(HttpResponse::NotModified().insert_header((header::CACHE_CONTROL, "no-cache")).finish());
    }
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(header::ETag(tag))
        .body(file.data.into_owned()))
}

fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_page_asks_nobody_else() {
        for name in Files::iter() {
            let text = String::from_utf8(Files::get(&name).unwrap().data.into_owned()).unwrap();
            let foreign = text.replace("http://www.w3.org/2000/svg", "").contains("src=\"http");
            assert!(!foreign && !text.contains("href=\"http") && !text.contains("innerHTML"), "{name}");
        }
    }

    #[test]
    fn a_file_is_sent_once() {
        let first = answer(&TestRequest::get().to_http_request(), "index.html").unwrap();
        let tag = first.headers().get(header::ETAG).unwrap().clone();
        let again = TestRequest::get().insert_header((header::IF_NONE_MATCH, tag)).to_http_request();
        assert_eq!(answer(&again, "index.html").unwrap().status(), 304);
        for wrong in ["nothing.js", "../../web.rs", "app", ""] {
            assert!(answer(&again, wrong).is_err(), "{wrong}");
        }
    }
}
