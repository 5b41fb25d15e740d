//! Plain scalars by the YAML 1.2 core schema: `NO`, `on` and `yes` are text, `014` is 14.

use super::node::NodeValue;

/// A number that a manifest cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoNumber {
    /// `.inf` and `.nan`, which JSON does not have.
    NotFinite,
    /// A whole number past 64 bits, or another past the range of `f64`.
    OutOfRange,
}

/// What a plain scalar means.
///
/// # Errors
///
/// When it is a number that a manifest cannot hold.
pub(super) fn resolve(text: &str) -> Result<NodeValue, NoNumber> {
    let Some(&first) = text.as_bytes().first() else {
        return Ok(NodeValue::Null);
    };
    // Nearly every plain scalar is text, and its first letter says so.
    let special =
        matches!(first, b'0'..=b'9' | b'-' | b'+' | b'.' | b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F');
    if !special {
        return Ok(NodeValue::Text(text.to_owned()));
    }
    match text {
        "~" | "null" | "Null" | "NULL" => Ok(NodeValue::Null),
        "true" | "True" | "TRUE" => Ok(NodeValue::Bool(true)),
        "false" | "False" | "FALSE" => Ok(NodeValue::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => Err(NoNumber::NotFinite),
        _ if matches!(text.strip_prefix(['-', '+']).unwrap_or(text), ".inf" | ".Inf" | ".INF") => {
            Err(NoNumber::NotFinite)
        }
        _ => number(text).unwrap_or_else(|| Ok(NodeValue::Text(text.to_owned()))),
    }
}

/// A number by the core schema, if the text is one.
fn number(text: &str) -> Option<Result<NodeValue, NoNumber>> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let small = text.parse().map(NodeValue::Int);
        let value = small.or_else(|_| text.parse().map(NodeValue::UInt));
        return Some(value.map_err(|_| NoNumber::OutOfRange));
    }
    if !is_float(unsigned) {
        return None;
    }
    let value = text.parse::<f64>().ok()?;
    Some(if value.is_finite() { Ok(NodeValue::Float(value)) } else { Err(NoNumber::OutOfRange) })
}

fn radix(digits: &str, radix: u32) -> Option<Result<NodeValue, NoNumber>> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).map_err(|_| NoNumber::OutOfRange);
    Some(value.map(|value| i64::try_from(value).map_or(NodeValue::UInt(value), NodeValue::Int)))
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(unsigned: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(unsigned);
    let mut rest = &unsigned[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if whole == 0 && count == 0 {
            return false;
        }
        rest = &fraction[count..];
    } else if whole == 0 {
        return false;
    }
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else {
        return rest.is_empty();
    };
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match resolve(text) {
            Err(NoNumber::NotFinite) => "no JSON".to_owned(),
            Err(NoNumber::OutOfRange) => "out of range".to_owned(),
            Ok(NodeValue::Null) => "null".to_owned(),
            Ok(NodeValue::Bool(value)) => format!("bool {value}"),
            Ok(NodeValue::Int(value)) => format!("int {value}"),
            Ok(NodeValue::UInt(value)) => format!("uint {value}"),
            Ok(NodeValue::Float(value)) => format!("float {value:?}"),
            Ok(NodeValue::Text(_)) => "text".to_owned(),
            Ok(other) => format!("{other:?}"),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    #[rustfmt::skip]
    fn core_schema_table() {
        check("",         "null");            check("~",        "null");
        check("NULL",     "null");            check("nULL",     "text");
        check("true",     "bool true");       check("FALSE",    "bool false");
        check("NO",       "text");            check("on",       "text");
        check("yes",      "text");            check("y",        "text");
        check("0",        "int 0");           check("014",      "int 14");
        check("-7",       "int -7");          check("+7",       "int 7");
        check("1_000",    "text");            check("0x1F",     "int 31");
        check("0o17",     "int 15");          check("0o18",     "text");
        check("0x",       "text");            check("0x+1",     "text");
        check("1.5",      "float 1.5");       check("1.",       "float 1.0");
        check(".5",       "float 0.5");       check(".",        "text");
        check("1e3",      "float 1000.0");    check("1e",       "text");
        check("-.5E-1",   "float -0.05");     check("1e999",    "out of range");
        check(".inf",     "no JSON");         check("-.INF",    "no JSON");
        check(".nan",     "no JSON");         check("-.nan",    "text");
        check("18446744073709551615", "uint 18446744073709551615");
        check("18446744073709551616", "out of range");
        check("-9223372036854775809", "out of range");
        check("0x10000000000000000",  "out of range");
        check("2026-12-24",           "text");
        check("2026-12-24T18:00:00Z", "text");
        check("12:30:45", "text");            check("1.2.3",    "text");
        check("30s",      "text");            check("-",        "text");
    }
}
