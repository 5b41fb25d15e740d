//! Whether a request can be made: its URL, its headers and its socket, read as `execute` reads them.

use http::HeaderValue;
use url::Url;

use crate::manifest::template::is_template;

/// Longest path of a Unix socket: the field of the system's address has 108 bytes, the last one a zero.
const SOCKET_PATH_MAX: usize = 107;

/// Why a URL cannot be requested. What a template fills in is not known yet.
pub(super) fn url_fault(url: &str) -> Option<String> {
    if url.trim_start().starts_with("{{") {
        return None;
    }
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return Some("it does not begin with `http://` or `https://`".to_owned());
    };
    let outside = outside_templates(url);
    if outside.contains(char::is_whitespace) || outside.contains(char::is_control) {
        return Some("it holds white space".to_owned());
    }
    let known = &rest[..template_start(rest)];
    let host = known.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if host.len() == known.len() && known.len() < rest.len() {
        // The host is not over where the first template begins.
        return None;
    }
    let host_alone = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host_alone.is_empty() || host_alone.starts_with(':') {
        return Some("it has no host".to_owned());
    }
    let whole = if is_template(url) { &url[..url.len() - rest.len() + host.len()] } else { url };
    Url::parse(whole).err().map(|error| error.to_string())
}

/// Why a value cannot stand in a header.
pub(super) fn header_fault(value: &str) -> Option<&'static str> {
    let refused = HeaderValue::from_bytes(outside_templates(value).as_bytes()).is_err();
    refused.then_some("it holds a line break or another control character")
}

/// Why a path cannot be that of a Unix socket.
pub(super) fn socket_fault(path: &str) -> Option<String> {
    let too_long = !is_template(path) && path.len() > SOCKET_PATH_MAX;
    too_long.then(|| format!("it has {} bytes; systems take at most {SOCKET_PATH_MAX}", path.len()))
}

/// The byte at which the first template begins; the end of the text when there is none.
fn template_start(text: &str) -> usize {
    ["{{", "{%"].iter().filter_map(|open| text.find(open)).min().unwrap_or(text.len())
}

/// The text without its templates.
fn outside_templates(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while is_template(rest) {
        let (before, after) = rest.split_at(template_start(rest));
        out.push_str(before);
        let close = if after.starts_with("{%") { "%}" } else { "}}" };
        rest = after.split_once(close).map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(url_fault(url).unwrap_or_default(), expected, "{url}");
    }

    #[test]
    #[rustfmt::skip]
    fn urls_table() {
        check("https://example.com/health",                 "");
        check("http://127.0.0.1:8080",                      "");
        check("http://[::1]:80/",                           "");
        check("http://user:pass@host/x?y#z",                "");
        check("http://localhost/a<b>",                      "");
        check("{{ params.url }}",                           "");
        check("http://{{ params.host }}:99999/",            "");
        check("http://host:{{ params.port }}/",             "");
        check("http://host/{{ params.a b }}",               "");
        check("http://host/{% if attempt %}a{% endif %}",   "");
        check("example.com",                                "it does not begin with `http://` or `https://`");
        check("ftp://example.com",                          "it does not begin with `http://` or `https://`");
        check("http://",                                    "it has no host");
        check("http://:80/",                                "it has no host");
        check("http:///{{ params.x }}",                     "it has no host");
        check("http://host/a b",                            "it holds white space");
        check("http://host:99999/",                         "invalid port number");
        check("http://host:99999/{{ params.x }}",           "invalid port number");
        check("http://a<b>/",                               "invalid international domain name");
        check("http://[::zz]/",                             "invalid IPv6 address");
        check("http://1.2.3.999/",                          "invalid IPv4 address");
    }

    #[test]
    fn headers_and_sockets_table() {
        for (value, is_good) in [
            ("Bearer x", true),
            ("tab\there, ümlaut", true),
            ("{{ secrets.TOKEN }}\n", false),
            ("a\r\nSet-Cookie: b", false),
            ("a\0", false),
        ] {
            assert_eq!(header_fault(value).is_none(), is_good, "{value:?}");
        }
        assert_eq!(socket_fault("/run/x.sock"), None);
        assert_eq!(socket_fault(&"{{ params.x }}".repeat(20)), None);
        assert!(socket_fault(&"x".repeat(108)).is_some());
    }
}
