//! From the type in which a value comes to the type of the tag.

use crate::protocol::ItemResult;
use crate::value::{MAX_STRING_BYTES, Value, ValueType};

/// The value as type `to`, where that loses nothing: a whole number is an integer and a double alike as long as both
/// hold it exactly. A double that is not finite and a text that is too long fit no tag.
///
/// Errors: [`ItemResult::BadOutOfRange`] when the type fits but this value does not, else
/// [`ItemResult::BadTypeMismatch`].
pub fn convert(value: Value, to: ValueType) -> Result<Value, ItemResult> {
    match (value, to) {
        (Value::Float64(number), _) if !number.is_finite() => Err(ItemResult::BadOutOfRange),
        (Value::String(text), ValueType::String) if text.len() > MAX_STRING_BYTES => Err(ItemResult::BadOutOfRange),
        (Value::Int64(number), ValueType::Float64) => {
            let double = number as f64;
            // Compared as i128, because the greatest i64 is rounded up to a double that no i64 holds.
            if double as i128 == i128::from(number) {
                Ok(Value::Float64(double))
            } else {
                Err(ItemResult::BadOutOfRange)
            }
        }
        (Value::Float64(number), ValueType::Int64) => {
            if number.fract() != 0.0 {
                Err(ItemResult::BadTypeMismatch)
            } else if i128::from(number as i64) == number as i128 {
                Ok(Value::Int64(number as i64))
            } else {
                Err(ItemResult::BadOutOfRange)
            }
        }
        (value, to) if value.value_type() == to => Ok(value),
        _ => Err(ItemResult::BadTypeMismatch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ValueType::{Bool, DateTime, Float64, Int64, String};

    #[test]
    fn whole_numbers_fit_both_number_types() {
        assert_eq!(convert(Value::Int64(41), Float64), Ok(Value::Float64(41.0)));
        assert_eq!(convert(Value::Float64(41.0), Int64), Ok(Value::Int64(41)));
        assert_eq!(convert(Value::Float64(-9_223_372_036_854_775_808.0), Int64), Ok(Value::Int64(i64::MIN)));
        assert_eq!(convert(Value::Int64(1 << 53), Float64), Ok(Value::Float64(9_007_199_254_740_992.0)));
    }

    #[test]
    fn what_would_lose_something_is_refused() {
        for (value, to, error) in [
            (Value::Float64(41.5), Int64, ItemResult::BadTypeMismatch),
            (Value::Float64(9_223_372_036_854_775_808.0), Int64, ItemResult::BadOutOfRange),
            (Value::Float64(1e300), Int64, ItemResult::BadOutOfRange),
            (Value::Float64(f64::NAN), Float64, ItemResult::BadOutOfRange),
            (Value::Float64(f64::INFINITY), Int64, ItemResult::BadOutOfRange),
            (Value::Int64((1 << 53) + 1), Float64, ItemResult::BadOutOfRange),
            (Value::Int64(i64::MAX), Float64, ItemResult::BadOutOfRange),
            (Value::Int64(1), Bool, ItemResult::BadTypeMismatch),
            (Value::Bool(true), Int64, ItemResult::BadTypeMismatch),
            (Value::Int64(1), DateTime, ItemResult::BadTypeMismatch),
            (Value::String("41".into()), Int64, ItemResult::BadTypeMismatch),
            (Value::String("x".repeat(MAX_STRING_BYTES + 1).into()), String, ItemResult::BadOutOfRange),
        ] {
            assert_eq!(convert(value.clone(), to), Err(error), "{value:?} as {to}");
        }
        let longest = Value::String("x".repeat(MAX_STRING_BYTES).into());
        assert_eq!(convert(longest.clone(), String), Ok(longest));
    }
}
