//! The credential that a request carries: exactly one, in whichever header
//! its SDK uses.

use crate::head::Head;
use crate::refusal::{Code, Refusal};
use shared::header;

/// The text of the request's only credential.
pub fn find<'a>(head: &Head<'a>) -> Result<&'a str, Refusal> {
    let mut found: Option<&str> = None;
    let headers = head.headers().filter(|(name, _)| header::CREDENTIALS.contains(name));
    // A header that was sent twice comes as one, joined by a comma; no token has one.
    let values = headers.flat_map(|(name, value)| value.split(',').map(move |value| (name, value)));
    for (name, value) in values {
        let candidate = if name == "authorization" { bearer(value)? } else { value.trim() };
        match found {
            Some(earlier) if earlier != candidate => {
                return Err(Refusal::new(
                    Code::ConflictingCredentials,
                    "The request carries two different credentials. Send the Latchkey token alone.",
                ));
            }
            _ => found = Some(candidate),
        }
    }
    found.filter(|text| !text.is_empty()).ok_or_else(|| {
        Refusal::new(
            Code::MissingToken,
            "The request carries no token. Send a Latchkey token where your SDK puts its API key, \
             e.g. `Authorization: Bearer sk-lk-...`.",
        )
    })
}

/// RFC 6750: the scheme is matched without regard to case.
fn bearer(value: &str) -> Result<&str, Refusal> {
    let (scheme, credential) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(credential.trim());
    }
    Err(Refusal::new(Code::MalformedToken, "The Authorization header must be `Bearer <Latchkey token>`."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(headers: &[(&str, &str)]) -> Result<String, Code> {
        let lines: String = headers.iter().flat_map(|(name, value)| [*name, "\n", *value, "\n"]).collect();
        let text = format!("GET\nhttp://edge/v1/models\n{lines}");
        find(&Head::parse(&text).unwrap()).map(str::to_owned).map_err(|refusal| refusal.code)
    }

    #[test]
    fn is_found_where_each_sdk_puts_it() {
        for headers in [
            [("authorization", "Bearer t")],
            [("authorization", "bearer  t")],
            [("x-api-key", "t")],
            [("api-key", " t ")],
            [("x-goog-api-key", "t")],
        ] {
            assert_eq!(find_in(&headers), Ok("t".into()), "{headers:?}");
        }
    }

    #[test]
    fn the_same_twice_is_one_but_two_different_are_a_conflict() {
        assert_eq!(find_in(&[("authorization", "Bearer t"), ("x-api-key", "t")]), Ok("t".into()));
        assert_eq!(find_in(&[("authorization", "Bearer t, Bearer t")]), Ok("t".into()));
        assert_eq!(find_in(&[("x-api-key", "t, u")]), Err(Code::ConflictingCredentials));
        let conflict = find_in(&[("authorization", "Bearer t"), ("x-api-key", "u")]);
        assert_eq!(conflict, Err(Code::ConflictingCredentials));
    }

    #[test]
    fn none_or_an_empty_one_is_missing() {
        assert_eq!(find_in(&[]), Err(Code::MissingToken));
        assert_eq!(find_in(&[("x-api-key", "")]), Err(Code::MissingToken));
        assert_eq!(find_in(&[("authorization", "Bearer")]), Err(Code::MissingToken));
        assert_eq!(find_in(&[("authorization", "Basic eDp5")]), Err(Code::MalformedToken));
    }
}
