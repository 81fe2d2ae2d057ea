//! Values of tags as plain JSON, without their types.

use hotpair_core::value::Value;
use serde_json::Value as Json;

use crate::status::rfc3339;

/// A DateTime is RFC 3339 text. A number that is not finite has no JSON: null.
pub(crate) fn of(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::Int64(value) => Json::from(*value),
        Value::Float64(value) => Json::from(*value),
        Value::String(value) => Json::from(&**value),
        Value::DateTime(value) => Json::from(rfc3339::text(*value)),
    }
}
