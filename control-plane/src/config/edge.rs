//! How commands reach an edge that tells them what it knows.

use super::management::kept_value;
use super::reader::{ConfigError, Reader};
use shared::key::KeyRing;
use std::path::Path;
use url::Url;

#[derive(Debug)]
pub struct EdgeApi {
    /// The flag `--edge`, or `EDGE_URL`, or `http://127.0.0.1:` and `EDGE_PORT` or 8787,
    /// where `make run` has it.
    pub url: Url,
    /// `EDGE_INGEST_KEY`, from the environment or from `keys.env` in `LATCHKEY_HOME`.
    pub keys: KeyRing,
}

/// `kept` reads a file, if it can.
pub fn edge_api(
    get: &dyn Fn(&str) -> Option<String>,
    kept: &dyn Fn(&Path) -> Option<String>,
    url: Option<&str>,
) -> Result<EdgeApi, ConfigError> {
    let either = |name: &str| {
        let set = get(name).filter(|set| !set.trim().is_empty());
        if name == "EDGE_INGEST_KEY" { set.or_else(|| kept_value(get, kept, name)) } else { set }
    };
    let mut reader = Reader::new(&either);
    let url = read_url(&mut reader, url);
    let keys = reader.keys("EDGE_INGEST_KEY");
    if keys.is_none() {
        reader
            .problem("EDGE_INGEST_KEY", "is looked for in the environment and in keys.env of LATCHKEY_HOME");
    }
    let api = url.zip(keys).map(|(url, keys)| EdgeApi { url, keys });
    reader.finish(api)
}

fn read_url(reader: &mut Reader<'_>, flag: Option<&str>) -> Option<Url> {
    let text = flag.map(str::to_owned).or_else(|| reader.text("EDGE_URL")).unwrap_or_else(|| {
        let port = reader.text("EDGE_PORT").unwrap_or_else(|| "8787".to_owned());
        format!("http://127.0.0.1:{port}")
    });
    let url = Url::parse(&text).ok().filter(|url| {
        let is_plain = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        is_plain && matches!(url.scheme(), "http" | "https")
    });
    if url.is_none() {
        reader.problem("EDGE_URL", "must be an address such as https://edge.example.com");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn read(set: &[(&str, &str)], file: Option<&str>, url: Option<&str>) -> Result<String, String> {
        let get =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let kept = |path: &Path| file.filter(|_| path.ends_with("keys.env")).map(str::to_owned);
        edge_api(&get, &kept, url).map(|api| api.url.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flag_goes_before_the_environment_and_that_before_what_is_kept() {
        let file = format!("EDGE_INGEST_KEY={KEY}\n");
        let found = |url: &str| Ok(url.to_owned());
        assert_eq!(read(&[], Some(&file), None), found("http://127.0.0.1:8787/"));
        assert_eq!(read(&[("EDGE_PORT", "9")], Some(&file), None), found("http://127.0.0.1:9/"));
        let set = [("EDGE_INGEST_KEY", KEY), ("EDGE_URL", "https://e.example")];
        assert_eq!(read(&set, Some("EDGE_INGEST_KEY=x"), None), found("https://e.example/"));
        assert_eq!(read(&set, None, Some("https://f.example")), found("https://f.example/"));
        assert!(read(&[], None, None).unwrap_err().contains("EDGE_INGEST_KEY"));
        assert_eq!(read(&[("EDGE_INGEST_KEY", "")], Some(&file), None), found("http://127.0.0.1:8787/"));
        for url in ["ftp://x", "https://x/edge", "https://x?a=b", "https://a:b@x"] {
            assert!(read(&set, None, Some(url)).unwrap_err().contains("EDGE_URL"), "{url}");
        }
    }
}
