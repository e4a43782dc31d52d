//! What browsers ask before and after a request of a page's (Fetch, 3.2:
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! A preflight carries no token, so it cannot be known whose policy counts: any
//! page may ask. The request itself is judged, by its token's policies. No cookie
//! or other thing that a browser adds by itself lets anybody in.

use crate::head::Head;
use std::fmt::Write;

/// The longest that browsers keep an answer, in seconds: Chromium's.
const MAX_AGE: u32 = 7200;
/// Of a list of headers' names, as sent by a page.
const MAX_NAMES_LEN: usize = 4 * 1024;

/// The headers of the answer, as lines, if `head` is a preflight.
pub fn preflight(head: &Head<'_>) -> Option<String> {
    let (origin, method) = (head.header("origin")?, head.header("access-control-request-method")?);
    if head.method != "OPTIONS" {
        return None;
    }
    let mut lines = format!(
        "access-control-allow-origin\n{origin}\naccess-control-allow-methods\n{method}\n\
         access-control-max-age\n{MAX_AGE}\n\
         vary\nOrigin, Access-Control-Request-Method, Access-Control-Request-Headers\n"
    );
    let names = head.header("access-control-request-headers").filter(|names| names.len() <= MAX_NAMES_LEN);
    if let Some(names) = names {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "access-control-allow-headers\n{names}");
    }
    Some(lines)
}

/// Lets the page that asked read the answer.
pub fn allow(head: &Head<'_>) -> String {
    match head.header("origin") {
        Some(origin) => {
            format!("access-control-allow-origin\n{origin}\naccess-control-expose-headers\n*\nvary\nOrigin\n")
        }
        None => "vary\nOrigin\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preflight_has_an_origin_and_a_method() {
        let of = |text: &str| preflight(&Head::parse(text).unwrap());
        let asked =
            "OPTIONS\nhttp://edge/v1/x\norigin\nhttps://a.example\naccess-control-request-method\nPOST\n";
        let lines = of(asked).unwrap();
        assert!(lines.starts_with(
            "access-control-allow-origin\nhttps://a.example\naccess-control-allow-methods\nPOST\n"
        ));
        assert!(!lines.contains("allow-headers"));
        let lines = of(&format!("{asked}access-control-request-headers\nauthorization,x-team\n")).unwrap();
        assert!(lines.ends_with("access-control-allow-headers\nauthorization,x-team\n"));
        assert_eq!(of(&asked.replace("OPTIONS", "POST")), None);
        assert_eq!(of(&asked.replace("origin\nhttps://a.example\n", "")), None);
        assert_eq!(of("OPTIONS\nhttp://edge/v1/x\norigin\nhttps://a.example\n"), None);
    }
}
