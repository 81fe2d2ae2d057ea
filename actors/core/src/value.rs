//! Values of tags.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::quality::Quality;
use crate::types::UnixMillis;

/// The type that a tag has for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ValueType {
    /// True or false.
    Bool,
    /// 64-bit signed integer.
    Int64,
    /// IEEE 754 double.
    Float64,
    /// UTF-8 text of at most [`MAX_STRING_BYTES`].
    String,
    /// Wall-clock time in milliseconds.
    DateTime,
}

/// The longest text a tag holds, so that a change always fits a frame.
pub const MAX_STRING_BYTES: usize = 16 * 1024;

/// The value of a tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// See [`ValueType::Bool`].
    Bool(bool),
    /// See [`ValueType::Int64`].
    Int64(i64),
    /// See [`ValueType::Float64`].
    Float64(f64),
    /// See [`ValueType::String`].
    String(Arc<str>),
    /// See [`ValueType::DateTime`].
    DateTime(UnixMillis),
}

/// A value with its quality and the time its source gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The value.
    pub value: Value,
    /// How far it can be trusted.
    pub quality: Quality,
    /// When the source saw it; never changed by a failover.
    pub time: UnixMillis,
}

impl Value {
    /// The type of this value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Bool(_) => ValueType::Bool,
            Self::Int64(_) => ValueType::Int64,
            Self::Float64(_) => ValueType::Float64,
            Self::String(_) => ValueType::String,
            Self::DateTime(_) => ValueType::DateTime,
        }
    }

    /// The value a tag of type `of` has before anybody gave it one.
    pub fn default_of(of: ValueType) -> Self {
        match of {
            ValueType::Bool => Self::Bool(false),
            ValueType::Int64 => Self::Int64(0),
            ValueType::Float64 => Self::Float64(0.0),
            ValueType::String => Self::String(Arc::from("")),
            ValueType::DateTime => Self::DateTime(UnixMillis(0)),
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}
