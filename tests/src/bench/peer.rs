//! Requests a second on one core, beside another gateway.

use super::load;
use super::report::Row;
use super::rig::{MEASURED_CORE, Rig};
use crate::process::{Process, root};
use crate::stack::free_port;
use std::process::{Command, Stdio};
use std::time::Duration;

const CONNECTIONS: usize = 16;
const MODEL: &str = "gpt-example+chunks=20,pace=0";

pub async fn portkey(rig: &Rig) -> Row {
    let edge = rig.edge();
    let at_edge = rig.chat(&edge.url("/openai"), MODEL, false);
    let port = free_port();
    let _portkey = start(port).await;
    let mut at_portkey = rig.chat(&format!("http://127.0.0.1:{port}"), MODEL, false);
    at_portkey.headers = vec![
        ("x-portkey-provider", "openai".to_owned()),
        ("x-portkey-custom-host", format!("{}/v1", rig.upstream)),
    ];
    load::run(&at_edge, 2_000, CONNECTIONS).await;
    load::run(&at_portkey, 500, CONNECTIONS).await;
    let edge_rate = 10_000.0 / load::run(&at_edge, 10_000, CONNECTIONS).await.as_secs_f64();
    let portkey_rate = 2_000.0 / load::run(&at_portkey, 2_000, CONNECTIONS).await.as_secs_f64();
    let ratio = edge_rate / portkey_rate;
    Row {
        what: "requests a second on one core".into(),
        measured: format!("{edge_rate:.0}/s"),
        beside: format!("Portkey's gateway on Node: {portkey_rate:.0}/s"),
        ratio: Some(ratio),
        to_reach: "at least 4".into(),
        is_reached: ratio >= 4.0,
    }
}

async fn start(port: u16) -> Process {
    let script = root().join("tests/sdk/node_modules/@portkey-ai/gateway/build/start-server.js");
    let mut command = Command::new("taskset");
    command
        .args(["-c", &MEASURED_CORE.to_string()])
        .arg(root().join("node_modules/.bin/node"))
        .arg(script)
        .args(["--headless", &format!("--port={port}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let process = Process::spawn(&mut command);
    for _ in 0..300 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return process;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("Portkey's gateway did not start in 30 s");
}
