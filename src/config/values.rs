//! What types the value of a key can have.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::settings::Setting;

/// A type that a key can have.
pub(super) trait FromSetting: Sized {
    /// The value, or what is allowed: `must be …`.
    fn from_setting(setting: &Setting) -> Result<Self, String>;
}

impl FromSetting for bool {
    fn from_setting(setting: &Setting) -> Result<Self, String> {
        match setting {
            Setting::Bool(value) => Ok(*value),
            Setting::Override(text) => text.trim().parse().map_err(|_| "true or false".to_owned()),
            _ => Err("true or false (without quotes)".to_owned()),
        }
    }
}

/// Names of the unsigned types in messages.
macro_rules! whole_numbers {
    ($($t:ty: $allowed:expr),*) => {$(
        impl FromSetting for $t {
            fn from_setting(setting: &Setting) -> Result<Self, String> {
                let value = match setting {
                    Setting::Integer(value) => value.and_then(|value| value.try_into().ok()),
                    Setting::Override(text) => text.trim().parse().ok(),
                    _ => None,
                };
                value.ok_or_else(|| $allowed.to_owned())
            }
        }
    )*};
}
whole_numbers!(u16: "a port from 0 to 65535", u32: "a whole number, not negative", u64: "a whole number, not negative");
whole_numbers!(usize: "a whole number, not negative");

impl FromSetting for f64 {
    fn from_setting(setting: &Setting) -> Result<Self, String> {
        let value = match setting {
            Setting::Float(value) => Some(*value),
            // Whole numbers of a setting are far from where f64 loses digits.
            Setting::Integer(value) => value.map(|value| value as f64),
            Setting::Override(text) => text.trim().parse().ok(),
            _ => None,
        };
        value.filter(|value| value.is_finite()).ok_or_else(|| "a number".to_owned())
    }
}

impl FromSetting for String {
    fn from_setting(setting: &Setting) -> Result<Self, String> {
        match setting {
            Setting::Text(text) | Setting::Override(text) => Ok(text.clone()),
            _ => Err("text in quotes".to_owned()),
        }
    }
}

impl FromSetting for PathBuf {
    fn from_setting(setting: &Setting) -> Result<Self, String> {
        match String::from_setting(setting)? {
            text if text.trim().is_empty() => Err("a path".to_owned()),
            text => Ok(Self::from(text)),
        }
    }
}

impl<T: FromSetting> FromSetting for Option<T> {
    /// Empty text is none.
    fn from_setting(setting: &Setting) -> Result<Self, String> {
        match setting {
            Setting::Text(text) | Setting::Override(text) if text.trim().is_empty() => Ok(None),
            _ => T::from_setting(setting).map(Some),
        }
    }
}

impl FromSetting for IpAddr {
    fn from_setting(setting: &Setting) -> Result<Self, String> {
        let allowed = "an IP address in quotes, such as \"127.0.0.1\" or \"0.0.0.0\"";
        match String::from_setting(setting).map_err(|_| allowed)?.trim() {
            "localhost" => Ok(Self::V4(Ipv4Addr::LOCALHOST)),
            text => text.parse().map_err(|_| allowed.to_owned()),
        }
    }
}

impl FromSetting for Vec<String> {
    fn from_setting(setting: &Setting) -> Result<Self, String> {
        let allowed = || "a list of texts, such as [\"a\", \"b\"]".to_owned();
        match setting {
            Setting::List(list) => {
                list.iter().map(String::from_setting).collect::<Result<_, _>>().map_err(|_| allowed())
            }
            Setting::Override(text) => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
            _ => Err(allowed()),
        }
    }
}

/// The values of a setting that is one of a few words.
macro_rules! words {
    ($t:ty { $($word:literal => $value:expr),* $(,)? }) => {
        impl $crate::config::values::FromSetting for $t {
            fn from_setting(setting: &$crate::config::settings::Setting) -> Result<Self, String> {
                let allowed = || format!("one of {}", [$(concat!("\"", $word, "\"")),*].join(", "));
                match String::from_setting(setting).map_err(|_| allowed())?.as_str() {
                    $($word => Ok($value),)*
                    other => Err(match $crate::config::suggest::nearest(other, [$($word),*]) {
                        Some(word) => format!("{}; did you mean \"{word}\"?", allowed()),
                        None => allowed(),
                    }),
                }
            }
        }
    };
}
pub(super) use words;
