//! What precedes the body of a request, as one string that crossed from
//! JavaScript at once: method, URL, then the names and values of the headers,
//! a line each. No header value can hold a line break (RFC 9110, 5.5), and
//! JavaScript's `Headers` gives names in lower case.

#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub method: &'a str,
    /// Path and query, as they came.
    pub path_and_query: &'a str,
    headers: &'a str,
    text: &'a str,
}

impl<'a> Head<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        let (method, rest) = text.split_once('\n')?;
        let (url, headers) = rest.split_once('\n')?;
        let authority = url.find("://")? + 3;
        let path = url[authority..].find('/').map_or("/", |at| &url[authority + at..]);
        Some(Self { method, path_and_query: path, headers, text })
    }

    /// What it was parsed from.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Names and values in the order of the request.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut lines = self.headers.split('\n');
        std::iter::from_fn(move || Some((lines.next()?, lines.next()?)))
    }

    /// The body's length, if it is declared.
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers().find_map(|(candidate, value)| (candidate == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_runtime_sends() {
        let head = Head::parse("POST\nhttp://edge.example/v1/x?q=1\naccept\n*/*\nx-api-key\nk\n").unwrap();
        assert_eq!((head.method, head.path_and_query), ("POST", "/v1/x?q=1"));
        assert_eq!(head.headers().collect::<Vec<_>>(), [("accept", "*/*"), ("x-api-key", "k")]);
        assert_eq!(head.header("x-api-key"), Some("k"));
    }

    #[test]
    fn a_bare_origin_has_the_root_path() {
        assert_eq!(Head::parse("GET\nhttp://edge.example\n").unwrap().path_and_query, "/");
        assert!(Head::parse("GET").is_none());
    }
}
