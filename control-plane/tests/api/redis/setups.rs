//! Each way to run Redis: with TLS, with a user that may do little, behind
//! Sentinels, as a Cluster.

use crate::logs::{self, LEASE};
use crate::redis_server::{DURABLE, Redis as Server};
use control_plane::clock;
use control_plane::events::log::redis::{Address, RedisLog};
use control_plane::events::log::{EventLog, LogError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// All that a log does, by two instances.
async fn goes_through(url: &str, deployment: &str) {
    let (first, second) = (logs::open(url, deployment), logs::open(url, deployment));
    assert_eq!(first.backlog("database").await.unwrap().batches, 0);
    for batch in [b"1\n", b"2\n", b"3\n"] {
        first.append(batch, clock::now()).await.unwrap();
    }
    let backlog = first.backlog("database").await.unwrap();
    assert_eq!((backlog.batches, backlog.oldest.is_some()), (3, true));
    let read = first.read("database", 2, 0).await.unwrap();
    first.acknowledge("database", &[read[0].position.clone()]).await.unwrap();
    tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
    let read = second.read("database", 10, 0).await.unwrap();
    let found: Vec<_> = read.iter().map(|entry| (&entry.lines[..], entry.attempts)).collect();
    assert_eq!(found, [(&b"2\n"[..], 2), (b"3\n", 1)]);
    for entry in read {
        second.acknowledge("database", &[entry.position]).await.unwrap();
    }
    assert_eq!(first.backlog("database").await.unwrap().batches, 0);
}

/// Once it works, which it must in a minute.
async fn append_at_last(log: &dyn EventLog) {
    let began = clock::start();
    while let Err(error) = log.append(b"{}\n", clock::now()).await {
        assert!(began.elapsed() < Duration::from_mins(1), "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn with_tls_the_server_is_verified() {
    let settings = [
        "port 0",
        "tls-port {port}",
        "tls-cert-file {folder}/server.crt",
        "tls-key-file {folder}/server.key",
        "tls-ca-cert-file {folder}/ca.crt",
        "tls-auth-clients optional",
    ];
    let server = Server::prepare(&[&DURABLE[..], &settings].concat(), &[]);
    let openssl = |arguments: &str| server.run("openssl", &arguments.split(' ').collect::<Vec<_>>());
    for authority in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={authority} -keyout {authority}.key -out {authority}.crt"
        ));
    }
    for name in ["server", "client"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={name} -addext subjectAltName=DNS:localhost \
             -addext basicConstraints=critical,CA:FALSE -CA ca.crt -CAkey ca.key -keyout {name}.key -out {name}.crt"
        ));
    }
    server.restart();
    let file = |name: &str| server.folder().join(name).display().to_string();
    let (port, ca) = (server.port(), file("ca.crt"));
    goes_through(&format!("rediss://localhost:{port}?sslrootcert={ca}"), "tls").await;
    let (certificate, key) = (file("client.crt"), file("client.key"));
    let with_own = format!("rediss://localhost:{port}?sslrootcert={ca}&sslcert={certificate}&sslkey={key}");
    goes_through(&with_own, "tls-client").await;
    for bad in [
        format!("rediss://127.0.0.1:{port}?sslrootcert={ca}"),
        format!("rediss://localhost:{port}?sslrootcert={}", file("other.crt")),
        format!("rediss://localhost:{port}"),
    ] {
        let error = logs::open(&bad, "tls").append(b"{}\n", 0).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{bad}: {error}");
    }
    assert!(matches!(logs::open(&server.url(), "tls").append(b"", 0).await, Err(LogError::Unreachable(_))));
    let missing = Address::parse("rediss://localhost?sslrootcert=/nonexistent/ca.pem").unwrap();
    let error = RedisLog::new(&missing, "tls", logs::short_leases()).unwrap_err().to_string();
    assert!(error.contains("REDIS_URL") && error.contains("/nonexistent/ca.pem"), "{error}");
}

/// As the README has it.
const USER: &str = "user latchkey on >hush-redis ~latchkey:* resetchannels -@all +xadd +xreadgroup +xack +xautoclaim \
                    +xtrim +xlen +xpending +xgroup +xinfo +xrange +eval +info +config|get";

#[tokio::test]
async fn a_user_needs_only_these_commands() {
    let server = Server::start(&[&DURABLE[..], &["user default off", USER]].concat());
    let as_user = |login: &str| format!("redis://{login}@127.0.0.1:{}", server.port());
    let url = as_user("latchkey:hush-redis");
    goes_through(&url, "acl").await;
    assert!(logs::open(&url, "acl").check().await.unwrap().is_lossless());
    let wrong = logs::open(&as_user("latchkey:hush-wrong"), "acl");
    for error in [wrong.append(b"", 0).await.unwrap_err(), wrong.check().await.unwrap_err()] {
        assert!(matches!(error, LogError::Refused(_)), "{error}");
        assert!(
            error.to_string().contains("authentication failed") && !error.to_string().contains("hush"),
            "{error}"
        );
    }
    // Where settings may not be read, that is told.
    let less = USER.replace("+info ", "").replace("+config|get", "").replace("latchkey on", "less on");
    let second = Server::start(&[&DURABLE[..], &[less.trim()]].concat());
    let log = logs::open(&format!("redis://less:hush-redis@127.0.0.1:{}", second.port()), "acl");
    log.append(b"", 0).await.unwrap();
    let unknown = log.check().await.unwrap().to_string();
    assert!(unknown.contains("appendonly") && unknown.contains("cannot be read"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_tell_who_is_master() {
    let master = Server::start(&DURABLE);
    let port = master.port().to_string();
    let replica = Server::start(&[&DURABLE[..], &[&format!("replicaof 127.0.0.1 {port}")]].concat());
    let watched = format!("sentinel monitor events 127.0.0.1 {port} 2");
    let sentinel = || {
        Server::sentinel(&[
            &watched,
            "sentinel down-after-milliseconds events 1000",
            "sentinel failover-timeout events 5000",
        ])
    };
    let sentinels = [sentinel(), sentinel(), sentinel()];
    let ports = sentinels.each_ref().map(|each| format!("127.0.0.1:{}", each.port())).join(",");
    let url = format!("redis-sentinel://{ports}/events");
    goes_through(&url, "sentinel").await;
    let log = logs::open(&url, "sentinel");
    assert!(log.check().await.unwrap().to_string().contains("failover"));
    log.append(b"before\n", clock::now()).await.unwrap();

    // They must know each other and the replica, which must have it.
    let knows = |what: &str, field: &str| {
        let told = sentinels[0].cli(&["--raw", "SENTINEL", what, "events"]);
        told.lines().filter(|line| *line == field).count()
    };
    let stream = "latchkey:{sentinel}:events";
    let is_set_up = || {
        knows("sentinels", "name") == 2
            && knows("replicas", "name") == 1
            && replica.cli(&["XLEN", stream]) == "1"
    };
    for _ in 0..300 {
        if is_set_up() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_set_up());
    master.kill();
    append_at_last(&*log).await;
    assert!(replica.cli(&["INFO", "replication"]).contains("role:master"));
    let read = log.read("database", 10, 0).await.unwrap();
    assert_eq!(read.first().unwrap().lines, b"before\n");
    // A Sentinel that is gone is passed over, and one that comes back is a replica.
    sentinels[0].kill();
    master.restart();
    append_at_last(&*logs::open(&url, "sentinel")).await;
    let wrong = logs::open(&url.replace("/events", "/nobody"), "sentinel");
    assert!(matches!(wrong.append(b"", 0).await, Err(LogError::Unreachable(_))));
}

/// Behind a name that means another one after a failover, as managed ones have.
#[tokio::test]
async fn a_master_that_became_a_replica_is_left() {
    let servers = [Server::start(&DURABLE), Server::start(&DURABLE)];
    let ports = servers.each_ref().map(Server::port);
    let named = Arc::new(AtomicU16::new(ports[0]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let now_named = Arc::clone(&named);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server =
                TcpStream::connect(("127.0.0.1", now_named.load(Ordering::Relaxed))).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let log = logs::open(&url, "moved");
    log.append(b"1\n", clock::now()).await.unwrap();
    // Which leaves its connections open.
    servers[0].cli(&["REPLICAOF", "127.0.0.1", &ports[1].to_string()]);
    named.store(ports[1], Ordering::Relaxed);
    log.append(b"2\n", clock::now()).await.unwrap();
    assert_eq!(servers[1].cli(&["XLEN", "latchkey:{moved}:events"]), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_has_it_on_one_node() {
    let settings = [&DURABLE[..], &["cluster-enabled yes", "cluster-node-timeout 1000"]].concat();
    let nodes = [(); 3].map(|()| Server::start(&settings));
    let addresses = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port()));
    let create = ["--cluster", "create", &addresses[0], &addresses[1], &addresses[2], "--cluster-yes"];
    nodes[0].run("redis-cli", &create);
    for node in &nodes {
        for _ in 0..300 {
            if node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    // Of several deployments, some are on each.
    let url = format!("redis-cluster://{},{}", addresses[0], addresses[1]);
    for deployment in ["cluster-1", "cluster-2", "cluster-3", "cluster-4"] {
        goes_through(&url, deployment).await;
    }
    let log = logs::open(&url, "cluster-1");
    let durability = log.check().await.unwrap().to_string();
    assert!(durability.contains("failover") && !durability.contains("cannot be read"), "{durability}");
    // Whichever it is on: killed, and back.
    for node in &nodes {
        node.kill();
    }
    assert!(matches!(log.append(b"{}\n", 0).await, Err(LogError::Unreachable(_))));
    for node in &nodes {
        node.restart();
    }
    append_at_last(&*log).await;
    assert!(log.backlog("database").await.unwrap().batches >= 1);
}
