//! Configuration: read once from the environment, typed. Everything that is
//! missing or wrong is reported together.

mod edge;
mod events;
mod log;
mod management;
mod reader;
mod sinks;
mod traces;

pub use edge::{EdgeApi, edge_api};
pub use events::{EventLogKind, Events};
pub use log::{Log, LogFormat};
pub use management::{ManagementApi, management_api};
pub use reader::ConfigError;
pub use sinks::Sinks;
pub use traces::{Sampling, Traces};

use crate::domain::upstream::is_loopback;
use crate::secret::Secret;
use crate::store::address;
use ipnet::IpNet;
use reader::Reader;
use shared::key::KeyRing;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use url::Url;

/// What `latchkey serve` needs.
#[derive(Debug)]
pub struct Config {
    /// `LISTEN_ADDR`, default `127.0.0.1:8080`; port 0 takes a free one.
    pub listen_addr: SocketAddr,
    /// `DATABASE_URL`, default `sqlite://latchkey.db?mode=rwc`; or `postgres://user:password@host:5432/database`.
    pub database_url: String,
    /// `DEPLOYMENT_ID`, default `default`: snapshots and sealed credentials of another are refused.
    pub deployment_id: String,
    /// `MANAGEMENT_TOKEN`, required: at least 32 characters; two, separated by a comma, for rotation.
    pub management_tokens: Vec<Secret>,
    /// `METRICS_TOKEN`, default none: what `/metrics` asks for, as `MANAGEMENT_TOKEN` is written.
    pub metrics_tokens: Vec<Secret>,
    pub keys: Keys,
    pub kv: Kv,
    pub publisher: Publisher,
    pub events: Events,
    pub sinks: Sinks,
    pub network: Network,
    pub log: Log,
    pub traces: Option<Traces>,
}

/// Each is 32 bytes in base64; several, separated by commas, for rotation: the first makes, all are accepted.
#[derive(Debug)]
pub struct Keys {
    /// `ENCRYPTION_KEY`, required: seals provider keys in the database.
    pub encryption: KeyRing,
    /// `SNAPSHOT_SIGNING_KEY`, required: signs what is published.
    pub snapshot_signing: KeyRing,
    /// `EDGE_CREDENTIAL_KEY`, required: seals provider keys for the edge.
    pub edge_credential: KeyRing,
    /// `TOKEN_TAG_KEY`, required: tags withering tokens.
    pub token_tag: KeyRing,
    /// `EDGE_INGEST_KEY`, required: signs calls between edge and control plane.
    pub edge_ingest: KeyRing,
}

#[derive(Debug)]
pub struct Kv {
    /// `KV_API_BASE`, default Cloudflare's API for the account `CLOUDFLARE_ACCOUNT_ID`.
    pub api_base: Url,
    /// `KV_NAMESPACE_ID`, required.
    pub namespace_id: String,
    /// `CLOUDFLARE_API_TOKEN`, required unless the base is a loopback address.
    pub api_token: Option<Secret>,
}

#[derive(Debug)]
pub struct Publisher {
    /// `SNAPSHOT_HEARTBEAT`, seconds, default 60: the manifest is signed anew this often.
    pub heartbeat: Duration,
    /// `SNAPSHOT_SETTLE`, seconds, default 90: how long an object is in KV before a manifest names it.
    pub settle: Duration,
    /// `SNAPSHOT_LEASE`, seconds, default 10: of several control planes over one `PostgreSQL`, another one
    /// publishes when the one that did has been silent so long.
    pub lease: Duration,
}

#[derive(Debug)]
pub struct Network {
    /// `ALLOW_PRIVATE_UPSTREAMS`, default `false`: providers and sinks may have loopback and private addresses.
    pub allow_private_upstreams: bool,
    /// `TRUSTED_PROXIES`, default none: addresses or networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Config {
    /// Reads all variables through `get`, which answers as the environment does.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(get);
        let config = read(&mut reader);
        reader.finish(config)
    }
}

/// `DATABASE_URL` alone, for `latchkey migrate`.
pub fn database_url(get: &dyn Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let mut reader = Reader::new(get);
    let url = read_database_url(&mut reader);
    reader.finish(url)
}

/// `TOKEN_TAG_KEY` alone, when set, for `latchkey token inspect`.
pub fn token_tag_key(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<KeyRing>, ConfigError> {
    let mut reader = Reader::new(get);
    let keys = match reader.text("TOKEN_TAG_KEY") {
        None => Some(None),
        Some(_) => reader.keys("TOKEN_TAG_KEY").map(Some),
    };
    reader.finish(keys)
}

// Every part is read before any is missed, so that one run names all that is wrong.
fn read(reader: &mut Reader<'_>) -> Option<Config> {
    let listen_addr =
        reader.parsed("LISTEN_ADDR", "127.0.0.1:8080", "an address and port such as 127.0.0.1:8080");
    let database_url = read_database_url(reader);
    let deployment_id = read_deployment_id(reader);
    let management_tokens = read_management_tokens(reader);
    let metrics_tokens = read_tokens(reader, "METRICS_TOKEN");
    let keys = read_keys(reader);
    let kv = read_kv(reader);
    let publisher = read_publisher(reader);
    let events = Events::read(reader);
    let sinks = Sinks::read(reader);
    let network = read_network(reader);
    let log = log::read(reader);
    let traces = traces::read(reader);
    Some(Config {
        listen_addr: listen_addr?,
        database_url: database_url?,
        deployment_id: deployment_id?,
        management_tokens: management_tokens?,
        metrics_tokens: metrics_tokens?,
        keys: keys?,
        kv: kv?,
        publisher: publisher?,
        events: events?,
        sinks: sinks?,
        network: network?,
        log: log?,
        traces: traces?,
    })
}

fn read_database_url(reader: &mut Reader<'_>) -> Option<String> {
    let url = reader.text("DATABASE_URL").unwrap_or_else(|| "sqlite://latchkey.db?mode=rwc".to_owned());
    match address::check(&url) {
        Ok(()) => Some(url),
        Err(error) => {
            reader.problem("DATABASE_URL", &error.to_string());
            None
        }
    }
}

fn read_deployment_id(reader: &mut Reader<'_>) -> Option<String> {
    let id = reader.text("DEPLOYMENT_ID").unwrap_or_else(|| "default".to_owned());
    if id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Some(id);
    }
    reader.problem("DEPLOYMENT_ID", "must be at most 64 letters, digits, hyphens, dots or underscores");
    None
}

fn read_management_tokens(reader: &mut Reader<'_>) -> Option<Vec<Secret>> {
    reader.required("MANAGEMENT_TOKEN")?;
    read_tokens(reader, "MANAGEMENT_TOKEN")
}

/// One, or two for rotation; none where the variable is not set.
fn read_tokens(reader: &mut Reader<'_>, name: &str) -> Option<Vec<Secret>> {
    let Some(text) = reader.text(name) else { return Some(Vec::new()) };
    let tokens: Vec<&str> = text.split(',').map(str::trim).collect();
    let is_usable = |token: &&str| token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_graphic());
    if tokens.len() > 2 || !tokens.iter().all(is_usable) {
        reader.problem(
            name,
            "must be one token, or two separated by a comma, each of at least 32 printable characters",
        );
        return None;
    }
    Some(tokens.into_iter().map(|token| Secret::from(token.to_owned())).collect())
}

fn read_keys(reader: &mut Reader<'_>) -> Option<Keys> {
    let encryption = reader.keys("ENCRYPTION_KEY");
    let snapshot_signing = reader.keys("SNAPSHOT_SIGNING_KEY");
    let edge_credential = reader.keys("EDGE_CREDENTIAL_KEY");
    let token_tag = reader.keys("TOKEN_TAG_KEY");
    let edge_ingest = reader.keys("EDGE_INGEST_KEY");
    Some(Keys {
        encryption: encryption?,
        snapshot_signing: snapshot_signing?,
        edge_credential: edge_credential?,
        token_tag: token_tag?,
        edge_ingest: edge_ingest?,
    })
}

fn read_kv(reader: &mut Reader<'_>) -> Option<Kv> {
    let api_base = read_kv_base(reader);
    let namespace_id = reader.required("KV_NAMESPACE_ID");
    let api_token = reader.text("CLOUDFLARE_API_TOKEN").map(Secret::from);
    if let Some(base) = &api_base
        && !is_local(base)
        && api_token.is_none()
    {
        reader.problem("CLOUDFLARE_API_TOKEN", "is required: KV_API_BASE is not a loopback address");
    }
    Some(Kv { api_base: api_base?, namespace_id: namespace_id?, api_token })
}

fn read_kv_base(reader: &mut Reader<'_>) -> Option<Url> {
    let text = match (reader.text("KV_API_BASE"), reader.text("CLOUDFLARE_ACCOUNT_ID")) {
        (Some(base), _) => base,
        (None, Some(account)) => format!("https://api.cloudflare.com/client/v4/accounts/{account}"),
        (None, None) => {
            reader.problem("KV_API_BASE", "is required, unless CLOUDFLARE_ACCOUNT_ID is set");
            return None;
        }
    };
    let url = Url::parse(&text)
        .ok()
        .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_local(url)));
    if url.is_none() {
        reader.problem("KV_API_BASE", "must be an https:// URL; http:// only to a loopback address");
    }
    url
}

fn read_publisher(reader: &mut Reader<'_>) -> Option<Publisher> {
    let heartbeat = reader.seconds("SNAPSHOT_HEARTBEAT", "60", 1);
    let settle = reader.seconds("SNAPSHOT_SETTLE", "90", 0);
    let lease = reader.seconds("SNAPSHOT_LEASE", "10", 2);
    Some(Publisher { heartbeat: heartbeat?, settle: settle?, lease: lease? })
}

fn read_network(reader: &mut Reader<'_>) -> Option<Network> {
    let allow = reader.parsed("ALLOW_PRIVATE_UPSTREAMS", "false", "`true` or `false`");
    let proxies = reader.text("TRUSTED_PROXIES").unwrap_or_default();
    let proxies: Option<Vec<IpNet>> =
        proxies.split(',').map(str::trim).filter(|part| !part.is_empty()).map(network).collect();
    if proxies.is_none() {
        reader.problem(
            "TRUSTED_PROXIES",
            "must be addresses or networks separated by commas, such as 10.0.0.0/8",
        );
    }
    Some(Network { allow_private_upstreams: allow?, trusted_proxies: proxies? })
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn is_local(url: &Url) -> bool {
    url.host().is_some_and(|host| is_loopback(&host))
}

#[cfg(test)]
mod tests;
