//! How commands reach the management API: by the environment, or by what
//! `make run` keeps.

use super::reader::{ConfigError, Reader};
use crate::secret::Secret;
use std::path::{Path, PathBuf};
use url::Url;

#[derive(Debug)]
pub struct ManagementApi {
    /// The flag `--url`, or `CONTROL_PLANE_URL`, or what `LISTEN_ADDR` or
    /// `CONTROL_PLANE_PORT` say, or `http://127.0.0.1:8080`.
    pub url: Url,
    /// The first of `MANAGEMENT_TOKEN`, from the environment or from `keys.env`
    /// in `LATCHKEY_HOME` (default `.latchkey`), where `make run` keeps it.
    pub token: Secret,
}

/// `kept` reads a file, if it can.
pub fn management_api(
    get: &dyn Fn(&str) -> Option<String>,
    kept: &dyn Fn(&Path) -> Option<String>,
    url: Option<&str>,
) -> Result<ManagementApi, ConfigError> {
    let mut reader = Reader::new(get);
    let url = read_url(&mut reader, url);
    let token = read_token(&mut reader, kept_value(get, kept, "MANAGEMENT_TOKEN"), &kept_file(get));
    let api = url.zip(token).map(|(url, token)| ManagementApi { url, token });
    reader.finish(api)
}

fn read_url(reader: &mut Reader<'_>, flag: Option<&str>) -> Option<Url> {
    let text = match (flag, reader.text("CONTROL_PLANE_URL"), reader.text("LISTEN_ADDR")) {
        (Some(flag), _, _) => flag.to_owned(),
        (None, Some(url), _) => url,
        (None, None, Some(address)) => format!("http://{address}"),
        (None, None, None) => {
            let port = reader.text("CONTROL_PLANE_PORT").unwrap_or_else(|| "8080".to_owned());
            format!("http://127.0.0.1:{port}")
        }
    };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_none() {
        reader.problem("CONTROL_PLANE_URL", "must be an address such as http://127.0.0.1:8080");
    }
    url
}

/// Where `make run` keeps keys: `keys.env` in `LATCHKEY_HOME`.
fn kept_file(get: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let home = Reader::new(get).text("LATCHKEY_HOME").unwrap_or_else(|| ".latchkey".to_owned());
    PathBuf::from(home).join("keys.env")
}

/// What it has of this name.
pub(super) fn kept_value(
    get: &dyn Fn(&str) -> Option<String>,
    kept: &dyn Fn(&Path) -> Option<String>,
    name: &str,
) -> Option<String> {
    let text = kept(&kept_file(get))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(line.trim_matches(['"', '\'', ' ']).to_owned())
}

fn read_token(reader: &mut Reader<'_>, kept: Option<String>, file: &Path) -> Option<Secret> {
    let tokens = reader.text("MANAGEMENT_TOKEN").or(kept);
    let first = tokens.as_deref().and_then(|tokens| tokens.split(',').next()).map(str::trim);
    let token = first.filter(|token| !token.is_empty()).map(|token| Secret::from(token.to_owned()));
    if token.is_none() {
        let file = file.display();
        reader.problem("MANAGEMENT_TOKEN", &format!("is required, in the environment or in {file}"));
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)], file: Option<&str>, url: Option<&str>) -> Result<(String, String), String> {
        let get =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let kept = |path: &Path| file.filter(|_| path.ends_with("keys.env")).map(str::to_owned);
        let api = management_api(&get, &kept, url).map_err(|error| error.to_string())?;
        Ok((api.url.to_string(), api.token.reveal().to_owned()))
    }

    #[test]
    fn the_environment_goes_before_what_is_kept() {
        let file = Some("ENCRYPTION_KEY=x\nMANAGEMENT_TOKEN=kept\n");
        let found = |url: &str, token: &str| Ok((url.to_owned(), token.to_owned()));
        assert_eq!(read(&[], file, None), found("http://127.0.0.1:8080/", "kept"));
        assert_eq!(read(&[("CONTROL_PLANE_PORT", "9")], file, None), found("http://127.0.0.1:9/", "kept"));
        let set = [("MANAGEMENT_TOKEN", "a, b"), ("LISTEN_ADDR", "127.0.0.1:7"), ("CONTROL_PLANE_PORT", "9")];
        assert_eq!(read(&set, file, None), found("http://127.0.0.1:7/", "a"));
        assert_eq!(read(&set, None, Some("https://x.example")), found("https://x.example/", "a"));
        assert!(read(&[], None, None).unwrap_err().contains("MANAGEMENT_TOKEN: is required"));
        assert!(read(&set, None, Some("ftp://x")).unwrap_err().contains("CONTROL_PLANE_URL"));
    }
}
