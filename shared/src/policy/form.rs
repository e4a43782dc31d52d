//! Reads a multipart form (RFC 7578) by rules, in pieces, keeping only what a rule asks for.
//!
//! Strict where readers differ: what one could take otherwise is refused.

use super::body::{Violation, violation};
use super::parameter::{Scalar, Step};
use super::parameters::Ruled;
use memchr::memmem;
use std::io;

const PIECE: usize = 64 * 1024;
/// Of one part's headers.
const MAX_HEADERS: usize = 8 * 1024;
/// Of a field that a rule judges.
const MAX_FIELD: usize = 64 * 1024;
const MAX_BOUNDARY: usize = 70;

/// A form that is to be judged.
#[derive(Debug)]
pub struct Form<'a> {
    rules: &'a [Ruled<'a>],
    /// With the line break and the dashes that precede it in the body.
    delimiter: Vec<u8>,
}

type Result<T> = std::result::Result<T, Violation>;

fn invalid<T>(problem: &str) -> Result<T> {
    Err(Violation::Invalid(format!("The body is no form that can be judged: {problem}")))
}

impl<'a> Form<'a> {
    /// None where `content_type` is not that of a form.
    pub fn new(rules: &'a [Ruled<'a>], content_type: &str) -> Option<Result<Self>> {
        let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let Some(boundary) = boundary(parameters) else {
            return Some(invalid("its content type names no boundary"));
        };
        Some(Ok(Self { rules, delimiter: ["\r\n--", boundary].concat().into_bytes() }))
    }

    pub fn check(&self, body: impl io::Read) -> Result<()> {
        let mut body = Pieces::new(body);
        // The first delimiter has no line break before it.
        body.buffer.extend_from_slice(b"\r\n");
        if !body.take_until(&self.delimiter, 0)?.is_some_and(|before| before.is_empty()) {
            return invalid("it does not begin with its boundary");
        }
        let mut fields = Vec::new();
        loop {
            match body.take(2)?.as_slice() {
                b"--" => break,
                b"\r\n" => {}
                _ => return invalid("something follows its boundary"),
            }
            let Some(headers) = body.take_until(b"\r\n\r\n", MAX_HEADERS)? else {
                return invalid("a part has no end of its headers");
            };
            let part = Part::read(&headers)?;
            let judged = self.judged(&part, &mut fields)?;
            let limit = if judged.is_empty() { None } else { Some(MAX_FIELD) };
            let content = match limit {
                Some(limit) => body.take_until(&self.delimiter, limit)?,
                None => body.skip_until(&self.delimiter)?.then(Vec::new),
            };
            let Some(content) = content else {
                return invalid("a part does not end, or is too long to be judged");
            };
            self.judge(&judged, &part, &content)?;
        }
        if !body.rest()?.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return invalid("something follows its end");
        }
        let is_missing = |ruled: &Ruled<'_>| ruled.is_required && !fields.contains(&base(&ruled.rule.path));
        match self.rules.iter().position(is_missing) {
            Some(rule) => Err(violation(rule, "is required")),
            None => Ok(()),
        }
    }

    /// The rules that ask about a part; `fields` are those that any has asked about.
    fn judged(&self, part: &Part<'_>, fields: &mut Vec<&'a str>) -> Result<Vec<usize>> {
        let mut judged = Vec::new();
        let before = fields.len();
        for (number, ruled) in self.rules.iter().enumerate() {
            let path = &ruled.rule.path;
            let name = base(path);
            let own = part.name.split(['[', '.']).next().unwrap_or_default();
            if !own.eq_ignore_ascii_case(name) {
                continue;
            }
            let steps = ruled.rule.steps().ok_or_else(|| violation(number, "cannot be judged"))?;
            let is_each = matches!(steps.as_slice(), [Step::Member(_), Step::Each]);
            let is_own = part.name == name || (is_each && part.name == *path);
            if !is_own || part.is_file || !(is_each || steps.len() == 1) {
                return invalid(&format!(
                    "the field \"{}\" cannot be judged by the rule on {path}",
                    part.name
                ));
            }
            if !is_each && fields[..before].contains(&name) {
                return invalid(&format!("the field \"{name}\" is there twice"));
            }
            if !fields.contains(&name) {
                fields.push(name);
            }
            judged.push(number);
        }
        Ok(judged)
    }

    fn judge(&self, judged: &[usize], part: &Part<'_>, content: &[u8]) -> Result<()> {
        if judged.is_empty() {
            return Ok(());
        }
        if !part.is_plain {
            return invalid(&format!("the field \"{}\" must be plain text in UTF-8", part.name));
        }
        let Ok(text) = str::from_utf8(content) else {
            return invalid(&format!("the field \"{}\" is not UTF-8", part.name));
        };
        for number in judged {
            let rule = self.rules[*number].rule;
            let value = match text.trim().parse::<f64>() {
                Ok(value) if rule.min.is_some() || rule.max.is_some() => Scalar::Number(value),
                Ok(_) | Err(_) => Scalar::String(text),
            };
            rule.check(value).map_err(|problem| violation(*number, problem))?;
        }
        Ok(())
    }
}

/// The first name of a parameter's path.
fn base(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// What the headers of a part say.
struct Part<'h> {
    name: &'h str,
    is_file: bool,
    /// Text in UTF-8, as far as it says.
    is_plain: bool,
}

impl<'h> Part<'h> {
    fn read(headers: &'h [u8]) -> Result<Self> {
        let Ok(headers) = str::from_utf8(headers) else { return invalid("a part's headers are not UTF-8") };
        let (mut disposition, mut is_plain) = (None, true);
        for line in headers.split("\r\n") {
            let Some((name, value)) = line.split_once(':') else {
                return invalid("a part has a header that is none");
            };
            if name.starts_with([' ', '\t']) || line.contains(['\r', '\n', '\0']) {
                return invalid("a part has a folded header");
            }
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" if disposition.is_some() => return invalid("a part has two names"),
                "content-disposition" => disposition = Some(value),
                "content-type" => {
                    let value = value.to_ascii_lowercase().replace([' ', '"'], "");
                    is_plain &= matches!(value.as_str(), "text/plain" | "text/plain;charset=utf-8");
                }
                "content-transfer-encoding" => {
                    let is_as_it_is = |coding: &str| value.eq_ignore_ascii_case(coding);
                    is_plain &= ["7bit", "8bit", "binary"].into_iter().any(is_as_it_is);
                }
                _ => {}
            }
        }
        let Some((name, is_file)) = disposition.and_then(parameters) else {
            return invalid("a part has no plain name in its Content-Disposition");
        };
        Ok(Self { name, is_file, is_plain })
    }
}

/// Of `form-data; name="a"; filename="b"`, the name, and whether it is a file.
fn parameters(disposition: &str) -> Option<(&str, bool)> {
    let mut rest =
        disposition.get(9..).filter(|_| disposition[..9].eq_ignore_ascii_case("form-data"))?.trim_start();
    let (mut name, mut is_file) = (None, false);
    while !rest.is_empty() {
        let (key, value) = rest.strip_prefix(';')?.trim_start().split_once('=')?;
        match value.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"')?;
                match key.to_ascii_lowercase().as_str() {
                    "name" if name.is_none() && !value.contains('\\') => name = Some(value),
                    // Browsers write a quote within as %22; others as \", which ends it here.
                    "filename" if !value.ends_with('\\') => is_file = true,
                    _ => return None,
                }
                rest = after.trim_start();
            }
            None if key.eq_ignore_ascii_case("filename*") => {
                is_file = true;
                rest = value.find(';').map_or("", |at| &value[at..]);
            }
            None => return None,
        }
    }
    Some((name?, is_file))
}

/// Of `; boundary=x; charset=utf-8`.
fn boundary(parameters: &str) -> Option<&str> {
    let mut boundary = None;
    for parameter in parameters.split(';').filter(|parameter| !parameter.trim().is_empty()) {
        let (key, value) = parameter.trim().split_once('=')?;
        if key.eq_ignore_ascii_case("boundary") {
            let value = value.strip_prefix('"').map_or(Some(value), |quoted| quoted.strip_suffix('"'))?;
            let is_plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&b));
            if boundary.is_some() || !(1..=MAX_BOUNDARY).contains(&value.len()) || !is_plain {
                return None;
            }
            boundary = Some(value);
        } else if key.to_ascii_lowercase().starts_with("boundary") {
            return None;
        }
    }
    boundary
}

/// A body, of which a piece at a time is in memory.
struct Pieces<R> {
    body: R,
    buffer: Vec<u8>,
}

impl<R: io::Read> Pieces<R> {
    fn new(body: R) -> Self {
        Self { body, buffer: Vec::new() }
    }

    /// Whether there was more.
    fn fill(&mut self) -> Result<bool> {
        let before = self.buffer.len();
        self.buffer.resize(before + PIECE, 0);
        let read = self.body.read(&mut self.buffer[before..]);
        let length = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(before + length);
        if read.is_err() { invalid("it cannot be read") } else { Ok(length > 0) }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length && self.fill()? {}
        let length = length.min(self.buffer.len());
        Ok(self.buffer.drain(..length).collect())
    }

    /// What precedes `end`, which is taken too; none if it does not come, or only
    /// after more than `limit` bytes.
    fn take_until(&mut self, end: &[u8], limit: usize) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = memmem::find(&self.buffer, end) {
                let taken = (at <= limit).then(|| self.buffer[..at].to_vec());
                self.buffer.drain(..at + end.len());
                return Ok(taken);
            }
            if self.buffer.len() > limit + end.len() || !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Whether `end` comes; it is taken too.
    fn skip_until(&mut self, end: &[u8]) -> Result<bool> {
        loop {
            if let Some(at) = memmem::find(&self.buffer, end) {
                self.buffer.drain(..at + end.len());
                return Ok(true);
            }
            // Its beginning may be there already.
            let kept = self.buffer.len().min(end.len() - 1);
            self.buffer.drain(..self.buffer.len() - kept);
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// What is left; more than a little cannot be right.
    fn rest(mut self) -> Result<Vec<u8>> {
        while self.buffer.len() < PIECE && self.fill()? {}
        Ok(self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Owner, ParameterRule};
    use proptest::prelude::*;

    const TYPE: &str = "multipart/form-data; boundary=XYZ";

    fn rules() -> Vec<ParameterRule> {
        let rule = |path: &str| ParameterRule {
            endpoints: vec!["/**".into()],
            path: path.into(),
            ..ParameterRule::default()
        };
        vec![
            ParameterRule { allow: Some(vec!["whisper-*".into()]), required: true, ..rule("model") },
            ParameterRule { max: Some(1.0), ..rule("temperature") },
            ParameterRule { allow: Some(vec!["word".into()]), ..rule("timestamp_granularities[]") },
            ParameterRule { forbidden: true, ..rule("options.raw") },
        ]
    }

    /// Gives one byte at a time.
    struct Slow<'b>(&'b [u8]);

    impl io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(1);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn check(content_type: &str, body: &[u8]) -> Result<()> {
        let rules = rules();
        let rules: Vec<Ruled<'_>> = rules.iter().map(|rule| Ruled::new(Owner::Project, 0, rule)).collect();
        let form = Form::new(&rules, content_type).unwrap()?;
        let outcome = form.check(body);
        if body.len() < 4_096 {
            assert_eq!(form.check(Slow(body)), outcome);
        }
        outcome
    }

    fn part(headers: &str, content: &str) -> String {
        format!("--XYZ\r\n{headers}\r\n\r\n{content}\r\n")
    }

    fn field(name: &str, content: &str) -> String {
        part(&format!("Content-Disposition: form-data; name=\"{name}\""), content)
    }

    #[test]
    fn a_field_of_both_kinds_of_rules_is_there_once() {
        let [list, one] = ["a[]", "a"].map(|path| ParameterRule { path: path.into(), ..rules()[0].clone() });
        let body = |parts: &[String]| format!("{}--XYZ--", parts.concat());
        for rules in [[list.clone(), one.clone()], [one, list]] {
            let rules: Vec<_> = rules.iter().map(|rule| Ruled::new(Owner::Token, 0, rule)).collect();
            let check = |body: String| Form::new(&rules, TYPE).unwrap().unwrap().check(body.as_bytes());
            let field = field("a", "whisper-1");
            assert_eq!(check(body(std::slice::from_ref(&field))), Ok(()));
            assert!(matches!(check(body(&[field.clone(), field])), Err(Violation::Invalid(_))));
        }
    }

    const FILE: &str =
        "Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg";

    fn problem(parts: &[String]) -> Option<String> {
        match check(TYPE, format!("{}--XYZ--\r\n", parts.concat()).as_bytes()) {
            Ok(()) => None,
            Err(Violation::Invalid(problem)) => Some(problem),
            Err(Violation::Parameter { rule, problem }) => Some(format!("{rule} {problem}")),
        }
    }

    #[test]
    fn fields_are_judged_and_files_pass() {
        let model = || field("model", "whisper-1");
        assert_eq!(problem(&[part(FILE, "\r\n--XY\0--XY"), model(), field("prompt", "p")]), None);
        assert_eq!(problem(&[model(), field("temperature", "0.5")]), None);
        let both = [field("timestamp_granularities[]", "word"), field("timestamp_granularities[]", "word")];
        assert_eq!(problem(&[vec![model()], both.to_vec()].concat()), None);
        assert_eq!(problem(&[model(), field("timestamp_granularities", "word")]), None);
        for (parts, start) in [
            (vec![model(), field("timestamp_granularities", "segment")], "2 must be one of"),
            (vec![field("model", "gpt-4o-transcribe")], "0 must be one of: whisper-*"),
            (vec![part(FILE, "x")], "0 is required"),
            (vec![model(), field("temperature", "2")], "1 must be a number of at most 1"),
            (vec![model(), field("temperature", "hot")], "1 must be a number"),
            (vec![model(), field("timestamp_granularities[]", "segment")], "2 must be one of"),
        ] {
            let problem = problem(&parts).unwrap_or_default();
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        let model = || field("model", "whisper-1");
        let named = |disposition: &str| vec![model(), part(disposition, "gpt-4o")];
        for parts in [
            vec![model(), model()],
            vec![field("Model", "whisper-1")],
            vec![field("model[]", "whisper-1")],
            vec![model(), field("options[raw]", "1")],
            named("Content-Disposition: form-data; name=model"),
            named("Content-Disposition: form-data; name*=utf-8''model"),
            named("Content-Disposition: form-data; name=\"x\"; name=\"model\""),
            named(
                "Content-Disposition: form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"model\"",
            ),
            named("Content-Disposition: form-data; name=\"x\\\"; name=\"model\""),
            named("Content-Disposition: form-data;\r\n name=\"model\""),
            named("Content-Disposition: form-data; name=\"model\"; filename=\"x\""),
            named("X: y"),
            vec![part(
                "Content-Disposition: form-data; name=\"model\"\r\nContent-Type: text/plain; charset=utf-16",
                "whisper-1",
            )],
            vec![part(
                "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
                "whisper-1",
            )],
            vec![field("model", &"w".repeat(MAX_FIELD + 1))],
        ] {
            let problem = problem(&parts).unwrap_or_default();
            assert!(problem.starts_with("The body is no form"), "{parts:?}: {problem}");
        }
        for body in [
            "",
            "{\"model\":\"x\"}",
            "preamble\r\n--XYZ--",
            "--XYZ",
            "--XYZ\r\n",
            "--XYZ--x",
            "--XYZ \r\n--XYZ--",
        ] {
            assert!(matches!(check(TYPE, body.as_bytes()), Err(Violation::Invalid(_))), "{body}");
        }
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary*=x",
        ] {
            assert!(check(content_type, b"--XYZ--").is_err(), "{content_type}");
        }
        assert!(Form::new(&[], "application/json").is_none());
    }

    proptest! {
        #[test]
        fn whatever_comes_it_ends(pieces in prop::collection::vec(prop::sample::select(vec![
            "--XYZ", "\r\n", "--", "Content-Disposition: form-data; name=\"model\"", "whisper-1", "\"", ";", "x", "=",
        ]), 0..20)) {
            let _ = check(TYPE, pieces.concat().as_bytes());
        }
    }
}
