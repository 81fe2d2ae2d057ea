//! What client and node say to each other over the WebSocket.

use serde::{Deserialize, Serialize};

use super::super::error::ApiError;
use super::super::request::parse_json;

/// Paths of one request.
const MAX_PATHS: usize = 1000;
/// Those of them with a `*`: each tag of the project is compared with each.
const MAX_PATTERNS: usize = 32;
/// A message is not made longer than this, but for a single value that is.
const MESSAGE_BYTES: usize = 32 * 1024;

/// What a client asks for. It replaces what it asked for before.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Request {
    /// Paths of tags, with `*` for any characters.
    pub(super) path: Option<Vec<String>>,
    /// All alarms.
    #[serde(default)]
    pub(super) alarms: bool,
}

impl Request {
    pub(super) fn parse(text: &[u8]) -> Result<Self, ApiError> {
        let request: Self = parse_json(text, "the message")?;
        if request.path.is_none() && !request.alarms {
            let example = "{\"path\": [\"Plant/*\"], \"alarms\": true}";
            return Err(ApiError::bad_request(format!("nothing is asked for: send {example}, for example")));
        }
        let paths = request.path.as_deref().unwrap_or_default();
        let patterns = paths.iter().filter(|path| path.contains('*')).count();
        if paths.len() > MAX_PATHS || patterns > MAX_PATTERNS {
            let found = paths.len();
            return Err(ApiError::bad_request(format!(
                "{found} paths, {patterns} of them with a '*': at most {MAX_PATHS}, and {MAX_PATTERNS} with a '*', are \
                 allowed"
            )));
        }
        Ok(request)
    }
}

/// A list on its way to the client, in messages of a limited size:
/// `{"type": "tagValues", "all": true, "more": false, "data": […]}`.
pub(super) struct List {
    kind: &'static str,
    /// This is the first answer, with everything in it.
    all: bool,
    rows: Vec<u8>,
    /// The last message said that there is more.
    open: bool,
}

impl List {
    /// `all`: it replaces what the client has.
    pub(super) fn new(kind: &'static str, all: bool) -> Self {
        Self { kind, all, rows: Vec::new(), open: false }
    }

    /// Adds a row; false: the message has its size.
    pub(super) fn add(&mut self, row: &impl Serialize) -> bool {
        let length = self.rows.len();
        if length > 0 {
            self.rows.push(b',');
        }
        if serde_json::to_writer(&mut self.rows, row).is_err() {
            // Of these rows every one has its JSON: it cannot come to this.
            self.rows.truncate(length);
        }
        !self.is_full()
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= MESSAGE_BYTES
    }

    /// A message of the rows so far. `more`: others follow before the list is complete.
    pub(super) fn part(&mut self, more: bool) -> String {
        self.open = more;
        let rows = String::from_utf8(std::mem::take(&mut self.rows)).unwrap_or_default();
        let Self { kind, all, .. } = self;
        format!("{{\"type\":\"{kind}\",\"all\":{all},\"more\":{more},\"data\":[{rows}]}}")
    }

    /// The last message, when there is something to say. The list begins anew, with what changes from now on.
    pub(super) fn end(&mut self) -> Option<String> {
        let silent = self.rows.is_empty() && !self.all && !self.open;
        let message = (!silent).then(|| self.part(false));
        self.all = false;
        message
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn requests() {
        assert_eq!(Request::parse(br#"{"path": ["Plant/*"]}"#).unwrap().path.unwrap(), ["Plant/*"]);
        let request = Request::parse(br#"{"alarms": true}"#).unwrap();
        assert!(request.alarms && request.path.is_none());
        assert!(Request::parse(br#"{"path": []}"#).unwrap().path.unwrap().is_empty());
        let many = |path: &str, count: usize| json!({ "path": vec![path; count] }).to_string();
        assert!(Request::parse(many("Plant/A", 1000).as_bytes()).is_ok());
        for (wrong, told) in [
            ("{}".to_owned(), "nothing is asked for"),
            (r#"{"alarms": false}"#.to_owned(), "nothing is asked for"),
            ("[]".to_owned(), "the message does not fit"),
            ("{".to_owned(), "the message is not valid JSON"),
            (r#"{"path": "Plant/*"}"#.to_owned(), "at path"),
            (r#"{"pth": ["Plant/*"]}"#.to_owned(), "unknown field `pth`"),
            (many("Plant/A", 1001), "1001 paths"),
            (many("Plant/*", 33), "33 of them with a '*'"),
        ] {
            let error = Request::parse(wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_list_comes_in_parts_and_then_what_changes() {
        let mut list = List::new("tagValues", true);
        assert!(list.add(&json!({"path": "A"})));
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(
            read(&list.part(true)),
            json!({"type": "tagValues", "all": true, "more": true, "data": [{"path": "A"}]})
        );
        // Something follows, be it empty: else the client would wait.
        assert_eq!(read(&list.end().unwrap()), json!({"type": "tagValues", "all": true, "more": false, "data": []}));
        assert_eq!(list.end(), None);
        assert!(list.add(&1) && list.add(&"two"));
        assert_eq!(
            read(&list.end().unwrap()),
            json!({"type": "tagValues", "all": false, "more": false, "data": [1, "two"]})
        );
        assert!(!list.add(&"x".repeat(MESSAGE_BYTES)));
    }
}
