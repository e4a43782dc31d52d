//! The path of a request: what it asks for, checked for tricks by which two
//! parties might read it differently.

use percent_encoding::percent_decode_str;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderName<'a> {
    /// `/v1/...`: the project's default provider.
    Default,
    Named(&'a str),
}

/// The provider that the first segment names, and the path it sees.
pub fn split_provider(path: &str) -> (ProviderName<'_>, &str) {
    let relative = path.strip_prefix('/').unwrap_or(path);
    let (first, rest) = match relative.find('/') {
        Some(at) => (&relative[..at], &relative[at..]),
        None => (relative, "/"),
    };
    if first == "v1" { (ProviderName::Default, path) } else { (ProviderName::Named(first), rest) }
}

/// Whether a path can be judged; why not, for who sent it.
pub fn check(path: &str) -> Result<(), &'static str> {
    if path.bytes().any(|byte| byte.is_ascii_control() || matches!(byte, b'\\' | b' ') || !byte.is_ascii()) {
        return Err("The path has a character that must be percent-encoded, or a backslash.");
    }
    let segments = path.strip_prefix('/').unwrap_or(path);
    let last = segments.split('/').count() - 1;
    for (at, segment) in segments.split('/').enumerate() {
        if segment.is_empty() && at != last {
            return Err("The path has an empty segment (//).");
        }
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        if decoded.iter().any(|&byte| byte.is_ascii_control() || matches!(byte, b'/' | b'\\')) {
            return Err("The path has an encoded slash, backslash or control character.");
        }
        // Some servers take what follows a semicolon for parameters of the segment.
        let name = decoded.split(|&byte| byte == b';').next().unwrap_or_default();
        if matches!(name, b"." | b"..") {
            return Err("The path has a dot segment.");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_names_the_provider_unless_it_is_v1() {
        let named = |name| ProviderName::Named(name);
        assert_eq!(split_provider("/openai/v1/chat"), (named("openai"), "/v1/chat"));
        assert_eq!(split_provider("/v1/models"), (ProviderName::Default, "/v1/models"));
        assert_eq!(split_provider("/openai"), (named("openai"), "/"));
        assert_eq!(split_provider("/"), (named(""), "/"));
    }

    #[test]
    fn what_could_be_read_differently_is_refused() {
        for path in
            ["/a/../b", "/a/%2e%2E/b", "/a/..;x/b", "/a%2fb", "/a\\b", "/a//b", "/a/%00", "/a b", "/\u{e9}"]
        {
            assert!(check(path).is_err(), "{path}");
        }
        assert_eq!(check("/openai/v1/models/a..b/c.d/..."), Ok(()));
        assert_eq!(check("/openai/v1/models/"), Ok(()));
    }
}
