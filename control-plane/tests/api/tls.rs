//! A `PostgreSQL` that speaks TLS, with a certificate of its own authority.

use crate::postgres_server::Postgres as Server;
use control_plane::store::sql::query;
use control_plane::store::{Store, migrate};

/// A server for the name `localhost`; its authority's certificate is `ca.crt` in its folder.
fn server_with_tls() -> Server {
    let server = Server::start();
    let openssl = |arguments: &str| server.run("openssl", &arguments.split(' ').collect::<Vec<_>>());
    for authority in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={authority} -keyout {authority}.key -out {authority}.crt"
        ));
    }
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
         -addext basicConstraints=critical,CA:FALSE -CA ca.crt -CAkey ca.key -keyout server.key -out server.crt",
    );
    let postgres = server.url("postgres");
    for (setting, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
        let path = server.folder().join(file);
        server.psql(&postgres, &format!("alter system set {setting} = '{}'", path.display()));
    }
    server.psql(&postgres, "alter system set ssl = on");
    server.psql(&postgres, "select pg_reload_conf()");
    server
}

#[tokio::test]
async fn connections_are_encrypted_and_the_server_verified() {
    let server = server_with_tls();
    let url = server.create_database();
    let (at_address, at_name) = (url.clone(), url.replace("127.0.0.1", "localhost"));
    let file = |name: &str| server.folder().join(name).display().to_string();
    let (ca, other) = (file("ca.crt"), file("other.crt"));

    for good in [
        format!("{at_address}?sslmode=require"),
        format!("{at_address}?sslmode=verify-ca&sslrootcert={ca}"),
        format!("{at_name}?sslmode=verify-full&sslrootcert={ca}"),
    ] {
        migrate::up(&good).await.unwrap();
        let store = Store::connect(&good).await.unwrap();
        let mut tx = store.read().await.unwrap();
        let is_encrypted = query("select ssl from pg_stat_ssl where pid = pg_backend_pid()");
        assert!(is_encrypted.scalar::<bool>(&mut tx).await.unwrap(), "{good}");
    }
    for bad in [
        format!("{at_address}?sslmode=verify-full&sslrootcert={ca}"),
        format!("{at_name}?sslmode=verify-full&sslrootcert={other}"),
        format!("{at_name}?sslmode=verify-full"),
    ] {
        let message = migrate::up(&bad).await.unwrap_err().to_string();
        assert!(message.to_lowercase().contains("certificate"), "{bad}: {message}");
    }
}
