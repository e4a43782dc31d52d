//! `REDIS_URL`. What is wrong with one is said without showing it: it may hold a
//! password.

use crate::secret::Secret;
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use thiserror::Error;
use url::Url;

/// Where Redis is, and as whom to speak to it.
#[derive(Clone, Debug)]
pub struct Address {
    pub(super) kind: Kind,
    /// Host and port; more than one only of Sentinels and of a Cluster.
    pub(super) nodes: Vec<(String, u16)>,
    pub(super) login: Login,
    pub(super) database: i64,
    pub(super) tls: Option<TlsFiles>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Single,
    Sentinel {
        /// What the Sentinels call the Redis they watch.
        service: String,
        login: Login,
    },
    Cluster,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
}

/// Where none names authorities, the public ones hold.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsFiles {
    pub(super) authorities: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

#[derive(Debug, Error)]
pub enum AddressError {
    #[error(
        "must begin with redis://, redis-sentinel:// or redis-cluster://, or with TLS with rediss://, \
         rediss-sentinel:// or rediss-cluster://"
    )]
    Scheme,
    #[error(
        "is not a usable address; an example is {0}. Encode other characters than letters and digits in \
             user and password as in %40"
    )]
    Form(&'static str),
    #[error("has a parameter that is unknown, or not for this kind of address; known are {known}",
        known = PARAMETERS.join(", "))]
    Parameter,
    #[error("needs `sslcert` and `sslkey` together")]
    Certificate,
}

/// What may follow the `?`. A mistyped one would else be ignored.
const PARAMETERS: [&str; 6] =
    ["sslrootcert", "sslcert", "sslkey", "db", "sentinel-user", "sentinel-password"];

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let (kind, with_tls) = match scheme.strip_prefix("rediss") {
            Some(kind) => (kind, true),
            None => (scheme.strip_prefix("redis").ok_or(AddressError::Scheme)?, false),
        };
        let (example, port) = match kind {
            "" => ("redis://user:password@host:6379", REDIS_PORT),
            "-sentinel" => ("redis-sentinel://user:password@host:26379,host:26379/service", SENTINEL_PORT),
            "-cluster" => ("redis-cluster://user:password@host:6379,host:6379", REDIS_PORT),
            _ => return Err(AddressError::Scheme),
        };
        let parts = Parts::split(rest).ok_or(AddressError::Form(example))?;
        let parameters = Parameters::read(&parts.url, kind == "-sentinel", with_tls)?;
        parts.address(kind, port, parameters).ok_or(AddressError::Form(example))
    }
}

/// An address with one of its hosts, as [`Url`] understands it, and all of them.
struct Parts<'a> {
    url: Url,
    hosts: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn split(rest: &'a str) -> Option<Self> {
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (login, hosts) =
            authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let hosts: Vec<&str> = hosts.split(',').collect();
        let url = Url::parse(&format!("redis://{login}@{}{tail}", hosts.first()?)).ok()?;
        url.fragment().is_none().then_some(Self { url, hosts })
    }

    fn address(self, kind: &str, port: u16, parameters: Parameters) -> Option<Address> {
        let Self { url, hosts } = self;
        let Parameters { tls, database, sentinel } = parameters;
        let nodes: Option<Vec<_>> = hosts.iter().map(|host| node(host, port)).collect();
        let nodes = nodes.filter(|nodes| nodes.len() == 1 || !kind.is_empty())?;
        let path = url.path().trim_matches('/');
        let (kind, database) = match kind {
            "-sentinel" => {
                let service =
                    decoded(path).filter(|service| !service.is_empty() && !service.contains('/'))?;
                (Kind::Sentinel { service, login: sentinel }, database?)
            }
            "-cluster" => (Kind::Cluster, path.is_empty().then_some(0)?),
            _ if path.is_empty() => (Kind::Single, 0),
            _ => (Kind::Single, path.parse().ok()?),
        };
        let user = decoded(url.username())?;
        let login = Login {
            user: Some(user).filter(|user| !user.is_empty()),
            password: match url.password() {
                Some(password) => Some(Secret::from(decoded(password)?)),
                None => None,
            },
        };
        Some(Address { kind, nodes, login, database, tls })
    }
}

/// What follows the `?`.
#[derive(Default)]
struct Parameters {
    tls: Option<TlsFiles>,
    /// None where it is no number.
    database: Option<i64>,
    sentinel: Login,
}

impl Parameters {
    fn read(url: &Url, of_sentinel: bool, with_tls: bool) -> Result<Self, AddressError> {
        let mut read =
            Self { tls: with_tls.then(TlsFiles::default), database: Some(0), sentinel: Login::default() };
        for (name, value) in url.query_pairs() {
            match (&*name, read.tls.as_mut()) {
                ("sslrootcert", Some(tls)) => tls.authorities = Some(value.as_ref().into()),
                ("sslcert", Some(tls)) => tls.certificate = Some(value.as_ref().into()),
                ("sslkey", Some(tls)) => tls.key = Some(value.as_ref().into()),
                ("db", _) if of_sentinel => read.database = value.parse().ok(),
                ("sentinel-user", _) if of_sentinel => read.sentinel.user = Some(value.into_owned()),
                ("sentinel-password", _) if of_sentinel => {
                    read.sentinel.password = Some(Secret::from(value.into_owned()));
                }
                _ => return Err(AddressError::Parameter),
            }
        }
        match &read.tls {
            Some(tls) if tls.certificate.is_some() != tls.key.is_some() => Err(AddressError::Certificate),
            _ => Ok(read),
        }
    }
}

fn node(host: &str, default_port: u16) -> Option<(String, u16)> {
    let url = Url::parse(&format!("redis://{host}")).ok()?;
    let is_alone = url.path().is_empty() && url.username().is_empty() && url.password().is_none();
    let name = url.host_str().filter(|name| is_alone && !name.is_empty())?;
    Some((name.trim_matches(['[', ']']).to_owned(), url.port().unwrap_or(default_port)))
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn one_redis() {
        let Address { kind, nodes, login, database, tls } = parsed("redis://host");
        assert!(matches!(kind, Kind::Single) && tls.is_none() && login.password.is_none());
        assert_eq!((nodes, database, login.user), (vec![("host".to_owned(), 6379)], 0, None));
        let address = parsed("rediss://us%40er:p%2Fa%3As@[::1]:7000/3?sslrootcert=/etc/ca.pem");
        assert_eq!((address.nodes, address.database), (vec![("::1".to_owned(), 7000)], 3));
        assert_eq!(address.login.user.as_deref(), Some("us@er"));
        assert!(address.login.password.unwrap().matches("p/a:s"));
        assert_eq!(address.tls.unwrap().authorities.unwrap().to_str(), Some("/etc/ca.pem"));
    }

    #[test]
    fn several() {
        let text = "redis-sentinel://:p@one,two:7/the-service?db=2&sentinel-user=u&sentinel-password=s%20";
        let address = parsed(text);
        assert_eq!(address.nodes, [("one".to_owned(), 26379), ("two".to_owned(), 7)]);
        assert!(address.login.user.is_none() && address.login.password.unwrap().matches("p"));
        let Kind::Sentinel { service, login } = address.kind else { panic!("{:?}", address.kind) };
        assert_eq!(
            (service.as_str(), login.user.as_deref(), address.database),
            ("the-service", Some("u"), 2)
        );
        assert!(login.password.unwrap().matches("s "));
        let address = parsed("rediss-cluster://u:p@one:1,two,three:3");
        assert!(matches!(address.kind, Kind::Cluster) && address.tls.is_some());
        assert_eq!(address.nodes.len(), 3);
    }

    #[test]
    fn a_wrong_address_is_not_shown() {
        for bad in [
            "",
            "hush",
            "http://:hush@host",
            "redis-sentinels://:hush@host",
            "redis://:hush@",
            "redis://:hush@host:port",
            "redis://:hush@one,two",
            "redis://:hush@host/hush",
            "redis://:hush@host#insecure",
            "redis://:hush@host?hush=1",
            "redis://:pass?hush@host",
            "redis://:hush@host?sslrootcert=/hush",
            "rediss://:hush@host?sslcert=/hush",
            "redis-sentinel://:hush@host",
            "redis-sentinel://:hush@host/a/b",
            "redis-sentinel://:hush@host/a?db=hush",
            "redis-cluster://:hush@host/1",
            "redis-cluster://:hush@one,,two",
            "redis://:%ff@hush",
        ] {
            let message = Address::parse(bad).unwrap_err().to_string();
            assert!(!message.contains("hush"), "{bad}: {message}");
        }
        assert!(!format!("{:?}", parsed("redis://:hush@host")).contains("hush"));
    }
}
