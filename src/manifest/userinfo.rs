//! URLs as they may be shown: without the password that one may hold.
//!
//! Pure. What says a URL in an error or a log asks.

use std::borrow::Cow;

/// What stands in place of a password, or of another secret.
pub const MASK: &str = "***";

/// The URL without its password: `http://user:***@host/`; so is one that it holds, as where a redirect
/// is to lead. Any other text is given back as it is.
#[must_use]
pub fn without_password(url: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut told = 0;
    let mut from = 0;
    while let Some(begin) = url[from..].find("//").map(|at| from + at + 2) {
        from = begin;
        let is_end = |c: char| matches!(c, '/' | '?' | '#' | '\\') || c.is_whitespace();
        let authority = &url[begin..];
        let authority = &authority[..authority.find(is_end).unwrap_or(authority.len())];
        let userinfo = authority.rsplit_once('@').and_then(|(userinfo, _)| userinfo.split_once(':'));
        if let Some((user, password)) = userinfo.filter(|(_, password)| !password.is_empty()) {
            let password_begin = begin + user.len() + 1;
            masked.push_str(&url[told..password_begin]);
            masked.push_str(MASK);
            told = password_begin + password.len();
        }
    }
    if told == 0 {
        return Cow::Borrowed(url);
    }
    masked.push_str(&url[told..]);
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn passwords_table() {
        for (url, expected) in [
            ("http://user:secret@host/a:b@c",   "http://user:***@host/a:b@c"),
            ("https://user:p@ss:word@host:80",  "https://user:***@host:80"),
            ("//user:secret@host/x",            "//user:***@host/x"),
            ("http://:secret@host?x",           "http://:***@host?x"),
            ("http://user@host/",               "http://user@host/"),
            ("http://user:@host/",              "http://user:@host/"),
            ("http://host:80/a@b",              "http://host:80/a@b"),
            ("http://host?u=a:b@c",             "http://host?u=a:b@c"),
            ("mailto:a:b@c",                    "mailto:a:b@c"),
            ("http://u:v@h/?to=http://a:b@c/",  "http://u:***@h/?to=http://a:***@c/"),
            ("http://h/?to=http://a:b@c",       "http://h/?to=http://a:***@c"),
            ("http:////ä:b@c",                  "http:////ä:***@c"),
        ] {
            assert_eq!(without_password(url), expected, "{url}");
        }
    }
}
