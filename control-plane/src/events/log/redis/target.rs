//! How to connect to one Redis, through Sentinels, or to a Cluster.

use super::super::LogError;
use super::address::{Address, Kind, Login, TlsFiles};
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates, TlsMode, Value,
};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;

const CONNECT: Duration = Duration::from_secs(2);

/// Of a cluster's node. The link is less patient, and says so.
const ANSWER: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub(super) enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// How to connect.
pub(super) struct Target {
    how: How,
    /// Of the one slot that all keys are in, where there are slots.
    pub(super) route: RoutingInfo,
    /// Whether replicas may take over by themselves.
    pub(super) fails_over: bool,
}

enum How {
    Single(Client),
    // Remembers which Sentinel answered.
    Sentinel(Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

impl Connection {
    pub(super) async fn run(&mut self, command: &Cmd, route: &RoutingInfo) -> Result<Value, RedisError> {
        match self {
            Self::Node(connection) => command.query_async(connection).await,
            // Of a cluster the settings of that node matter, which the client would not ask.
            Self::Cluster(connection) => connection.route_command(command.clone(), route.clone()).await,
        }
    }
}

impl Target {
    /// Reads the files that the address names; `key` is where everything is.
    pub(super) fn new(address: &Address, key: &str) -> Result<Self, LogError> {
        let unusable = |error: RedisError| LogError::Unreachable(format!("REDIS_URL is not usable: {error}"));
        let tls = address.tls.as_ref().map(certificates).transpose()?;
        let how = how(address, tls).map_err(unusable)?;
        let node = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key.as_bytes(), SlotAddr::Master));
        let fails_over = !matches!(address.kind, Kind::Single);
        Ok(Self { how, route: RoutingInfo::SingleNode(node), fails_over })
    }

    pub(super) async fn connect(&self) -> Result<Connection, RedisError> {
        // How long a command may take, the link says.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        match &self.how {
            How::Single(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Node)
            }
            How::Sentinel(client) => {
                let mut client = client.lock().await;
                client.get_async_connection_with_config(&config).await.map(Connection::Node)
            }
            How::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

fn how(address: &Address, tls: Option<TlsCertificates>) -> Result<How, RedisError> {
    let Address { kind, nodes, login, database, .. } = address;
    let with_tls = tls.is_some();
    let addresses = nodes.iter().map(|(host, port)| {
        let (host, port) = (host.clone(), *port);
        if with_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    });
    let mut infos = addresses.clone().map(|address| info(address, login, *database));
    match kind {
        Kind::Single => {
            let info = infos.next().ok_or((ErrorKind::InvalidClientConfig, "no host"))??;
            let client = match tls {
                Some(tls) => Client::build_with_tls(info, tls),
                None => Client::open(info),
            };
            client.map(How::Single)
        }
        Kind::Sentinel { service, login: to_sentinel } => {
            let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
                .set_client_to_redis_db(*database);
            if let Some(user) = &login.user {
                builder = builder.set_client_to_redis_username(user);
            }
            if let Some(password) = &login.password {
                builder = builder.set_client_to_redis_password(password.reveal());
            }
            if let Some(user) = &to_sentinel.user {
                builder = builder.set_client_to_sentinel_username(user);
            }
            if let Some(password) = &to_sentinel.password {
                builder = builder.set_client_to_sentinel_password(password.reveal());
            }
            if let Some(tls) = tls {
                builder = builder
                    .set_client_to_redis_tls_mode(TlsMode::Secure)
                    .set_client_to_redis_certificates(tls.clone())
                    .set_client_to_sentinel_certificates(tls);
            }
            builder.build().map(|client| How::Sentinel(Mutex::new(client)))
        }
        Kind::Cluster => {
            let infos: Vec<ConnectionInfo> = infos.collect::<Result<_, _>>()?;
            let mut builder = ClusterClientBuilder::new(infos).connection_timeout(CONNECT).retries(3);
            builder = builder.response_timeout(ANSWER);
            if let Some(tls) = tls {
                builder = builder.certs(tls);
            }
            builder.build().map(How::Cluster)
        }
    }
}

fn info(address: ConnectionAddr, login: &Login, database: i64) -> Result<ConnectionInfo, RedisError> {
    let mut settings = RedisConnectionInfo::default().set_db(database);
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password.reveal());
    }
    Ok(address.into_connection_info()?.set_redis_settings(settings))
}

fn certificates(files: &TlsFiles) -> Result<TlsCertificates, LogError> {
    let read = |path: &Option<PathBuf>| match path {
        None => Ok(None),
        Some(path) => std::fs::read(path).map(Some).map_err(|error| {
            LogError::Unreachable(format!(
                "REDIS_URL names {}, which cannot be read: {error}",
                path.display()
            ))
        }),
    };
    let client = read(&files.certificate)?.zip(read(&files.key)?);
    let client_tls = client.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    Ok(TlsCertificates { client_tls, root_cert: read(&files.authorities)? })
}
