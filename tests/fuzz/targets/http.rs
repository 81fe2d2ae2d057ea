//! HTTP requests to a node at work, in its process: line, headers, body. Whatever is asked, the answer is one that the
//! documentation knows, and the node goes on.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::body::{BodySize, MessageBody, to_bytes_limited};
use actix_web::dev::ServiceResponse;
use actix_web::http::{Method, StatusCode, Uri, header};
use actix_web::rt::SystemRunner;
use actix_web::test::{TestRequest, init_service, try_call_service};
use hotpair::config::{Config, Project};
use hotpair::core::alarms::{AckMode, AlarmCondition, AlarmDef, AlarmPriority, LimitLevel, Watched};
use hotpair::core::catalog::{TagDef, TagId};
use hotpair::core::types::Mode;
use hotpair::core::value::ValueType;
use hotpair::{Node, NodeHandle};

type Answer = Pin<Box<dyn Future<Output = Result<ServiceResponse, actix_web::Error>>>>;

struct Stage {
    runner: SystemRunner,
    call: Box<dyn Fn(TestRequest) -> Answer>,
    node: NodeHandle,
}

thread_local! {
    // For as long as the process lives: a node has threads of its own.
    static STAGE: &'static Stage = Box::leak(Box::new(Stage::new()));
}

/// A request as it stands on the wire: line, headers, an empty line, the body.
pub fn run(data: &[u8]) {
    let Some(request) = request(data) else { return };
    STAGE.with(|stage| stage.ask(request));
}

fn request(data: &[u8]) -> Option<TestRequest> {
    let (head, body) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let (method, uri) = line.split_once(' ')?;
    // What is no method or address does not come past the server's own parser.
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let parsed = Uri::try_from(uri).ok().filter(|uri| uri.path().starts_with('/') && uri.scheme().is_none())?;
    // Answers that never end.
    if parsed.path().ends_with("/stream") || parsed.path().starts_with("/ws") {
        return None;
    }
    let mut request = TestRequest::with_uri(uri).method(method);
    for header in lines {
        let at = header.iter().position(|byte| *byte == b':')?;
        let name = header::HeaderName::from_bytes(&header[..at]).ok()?;
        let value = header::HeaderValue::from_bytes(header[at + 1..].trim_ascii()).ok()?;
        request = request.append_header((name, value));
    }
    Some(request.set_payload(body.to_vec()))
}

impl Stage {
    fn new() -> Self {
        let runner = actix_web::rt::System::new();
        let mut config = Config::new(Mode::Independent);
        config.node.name = "Fuzzed".into();
        config.node.data_dir = folder();
        config.http.enabled = false;
        config.redundancy.use_ssl = false;
        let node = runner.block_on(Node::start_with(config, project())).expect("it starts");
        while !node.is_running() {
            std::thread::yield_now();
        }
        let app = hotpair::web::in_process(node.clone());
        let service = Rc::new(runner.block_on(init_service(app)));
        let call = Box::new(move |request: TestRequest| -> Answer {
            let service = service.clone();
            Box::pin(async move { try_call_service(&*service, request.to_request()).await })
        });
        Self { runner, call, node }
    }

    fn ask(&self, request: TestRequest) {
        let answer = self.runner.block_on((self.call)(request));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => panic!("not answered by the service: {error}"),
        };
        let status = answer.status();
        assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{:?}", answer.request());
        let is_json = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        assert!(answer.headers().contains_key(header::X_CONTENT_TYPE_OPTIONS));
        let body = answer.into_body();
        assert!(!matches!(body.size(), BodySize::Stream), "an answer without end");
        let body = self.runner.block_on(to_bytes_limited(body, 8 << 20)).expect("no larger").expect("complete");
        if is_json {
            let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            if status.is_client_error() || status.is_server_error() {
                let text = |name: &str| json["error"][name].as_str().is_some_and(|text| !text.is_empty());
                assert!(text("code") && text("message"), "{status} {json}");
            }
        } else {
            assert!(status.is_success() || body.is_empty(), "{status} in another form: {body:?}");
        }
        assert!(self.node.is_running(), "the node does not run any more");
    }
}

/// What is left in it is removed by the next run: the node that uses it is not stopped.
fn folder() -> PathBuf {
    let Some(target) = option_env!("CARGO_TARGET_TMPDIR") else {
        return tempfile::tempdir().expect("a folder of its own").keep();
    };
    let folder = PathBuf::from(target).join("fuzz-http-data");
    drop(std::fs::remove_dir_all(&folder));
    folder
}

fn project() -> Project {
    let types = [ValueType::Float64, ValueType::Int64, ValueType::Bool, ValueType::String, ValueType::DateTime];
    let tags = types.map(|of| TagDef {
        writable: of != ValueType::DateTime,
        retain: of == ValueType::Int64,
        ..TagDef::new(format!("Plant/{of}"), of)
    });
    let alarm = AlarmDef {
        path: "Plant/Float64".into(),
        name: "H".into(),
        watched: Watched::Tag(TagId(0)),
        condition: AlarmCondition::Limit { level: LimitLevel::H, limit: 10.0, inclusive: false, deadband: 1.0 },
        active_delay_ms: 0,
        resume_delay_ms: 0,
        priority: AlarmPriority::High,
        ack_mode: AckMode::Manual,
        description: "".into(),
    };
    Project::of(tags.to_vec(), vec![alarm]).expect("each stands there once")
}
