//! Plain scalars by the YAML 1.2 core schema: `NO`, `on` and `yes` are text, `014` is 14.

use super::node::NodeValue;

/// What a plain scalar means. `.inf` and `.nan`, which JSON cannot hold, are [`None`].
pub(super) fn resolve(text: &str) -> Option<NodeValue> {
    let Some(&first) = text.as_bytes().first() else {
        return Some(NodeValue::Null);
    };
    // Nearly every plain scalar is text, and its first letter says so.
    let special =
        matches!(first, b'0'..=b'9' | b'-' | b'+' | b'.' | b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F');
    if !special {
        return Some(NodeValue::Text(text.to_owned()));
    }
    match text {
        "~" | "null" | "Null" | "NULL" => Some(NodeValue::Null),
        "true" | "True" | "TRUE" => Some(NodeValue::Bool(true)),
        "false" | "False" | "FALSE" => Some(NodeValue::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => None,
        _ if matches!(text.strip_prefix(['-', '+']).unwrap_or(text), ".inf" | ".Inf" | ".INF") => None,
        _ => Some(number(text).unwrap_or_else(|| NodeValue::Text(text.to_owned()))),
    }
}

/// A number by the core schema. One too large for 64 bits is a float; one too large for that is
/// no number.
fn number(text: &str) -> Option<NodeValue> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(value) = text.parse() {
            return Some(NodeValue::Int(value));
        }
        if let Ok(value) = text.parse() {
            return Some(NodeValue::UInt(value));
        }
    } else if !is_float(unsigned) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(NodeValue::Float)
}

fn radix(digits: &str, radix: u32) -> Option<NodeValue> {
    if digits.starts_with('+') {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    Some(i64::try_from(value).map_or(NodeValue::UInt(value), NodeValue::Int))
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
            None => "no JSON".to_owned(),
            Some(NodeValue::Null) => "null".to_owned(),
            Some(NodeValue::Bool(value)) => format!("bool {value}"),
            Some(NodeValue::Int(value)) => format!("int {value}"),
            Some(NodeValue::UInt(value)) => format!("uint {value}"),
            Some(NodeValue::Float(value)) => format!("float {value:?}"),
            Some(NodeValue::Text(_)) => "text".to_owned(),
            Some(other) => format!("{other:?}"),
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
        check("-.5E-1",   "float -0.05");     check("1e999",    "text");
        check(".inf",     "no JSON");         check("-.INF",    "no JSON");
        check(".nan",     "no JSON");         check("-.nan",    "text");
        check("18446744073709551615", "uint 18446744073709551615");
        check("99999999999999999999", "float 1e20");
        check("2026-12-24",           "text");
        check("2026-12-24T18:00:00Z", "text");
        check("12:30:45", "text");            check("1.2.3",    "text");
        check("30s",      "text");            check("-",        "text");
    }
}
