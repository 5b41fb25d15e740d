//! Where a redirect leads, and what goes along.
//!
//! Pure. What the manifest gives (headers, body) may hold secrets, so none of it goes to another
//! origin than the manifest names.

use reqwest::{Method, StatusCode, Url};

/// One request of a chain of redirects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) carries: Carries,
}

/// What of the manifest's request goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    All,
    /// The method has changed to GET.
    Headers,
    /// The origin has changed. It stays so, also when the chain comes back.
    Nothing,
}

/// Whether a status is that of a redirect.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The next hop after a redirect. Methods change as browsers change them.
///
/// # Errors
///
/// Why it is not followed.
pub(super) fn next(hop: &Hop, status: StatusCode, location: &str) -> Result<Hop, String> {
    let url = hop.url.join(location).map_err(|error| format!("it redirects to no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("it redirects to an address of the scheme `{}`", url.scheme()));
    }
    let becomes_get = match status.as_u16() {
        303 => hop.method != Method::HEAD,
        301 | 302 => hop.method == Method::POST,
        _ => false,
    };
    let method = if becomes_get { Method::GET } else { hop.method.clone() };
    let same_origin = url.origin() == hop.url.origin();
    if !same_origin && !matches!(method, Method::GET | Method::HEAD) {
        return Err(format!("it redirects to another origin, where a {method} is not sent"));
    }
    let carries = match (same_origin, hop.carries) {
        (false, _) | (_, Carries::Nothing) => Carries::Nothing,
        (true, Carries::All) if method == hop.method => Carries::All,
        (true, _) => Carries::Headers,
    };
    Ok(Hop { method, url, carries })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hop after a request with headers and a body to `http://a/x`.
    fn after(method: &str, status: u16, location: &str) -> String {
        let hop = Hop {
            method: method.parse().unwrap(),
            url: "http://a/x".parse().unwrap(),
            carries: Carries::All,
        };
        match next(&hop, StatusCode::from_u16(status).unwrap(), location) {
            Ok(hop) => format!("{} {} {:?}", hop.method, hop.url, hop.carries),
            Err(reason) => reason,
        }
    }

    #[test]
    #[rustfmt::skip]
    fn redirect_table() {
        assert_eq!(after("GET",  302, "/y"),               "GET http://a/y All");
        assert_eq!(after("POST", 302, "/y"),               "GET http://a/y Headers");
        assert_eq!(after("POST", 303, "y"),                "GET http://a/y Headers");
        assert_eq!(after("HEAD", 303, "y"),                "HEAD http://a/y All");
        assert_eq!(after("PUT",  303, "y"),                "GET http://a/y Headers");
        assert_eq!(after("POST", 307, "y"),                "POST http://a/y All");
        assert_eq!(after("GET",  301, "https://a/x"),      "GET https://a/x Nothing");
        assert_eq!(after("GET",  301, "//b/"),             "GET http://b/ Nothing");
        assert_eq!(after("GET",  301, "http://a:81/"),     "GET http://a:81/ Nothing");
        assert_eq!(after("POST", 302, "http://b/"),        "GET http://b/ Nothing");
        assert_eq!(after("POST", 308, "http://b/"),        "it redirects to another origin, where a POST is not sent");
        assert_eq!(after("GET",  302, "file:///etc"),      "it redirects to an address of the scheme `file`");
        assert_eq!(after("GET",  302, "http://[/"),        "it redirects to no address: invalid IPv6 address");
    }

    #[test]
    fn what_was_left_out_once_does_not_come_back() {
        let hop = Hop { method: Method::GET, url: "http://b/".parse().unwrap(), carries: Carries::Nothing };
        assert_eq!(next(&hop, StatusCode::FOUND, "http://a/").unwrap().carries, Carries::Nothing);
        assert_eq!(next(&hop, StatusCode::FOUND, "/again").unwrap().carries, Carries::Nothing);
    }
}
