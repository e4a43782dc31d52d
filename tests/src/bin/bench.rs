//! `make bench`: prints a table of ratios and writes target/bench.json.
//! `bench NAME...` runs only the benchmarks whose names are given.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a command for developers")]

use latchkey_tests::bench::{
    change, cold, consume, cost::Effort, drain, forward, ingest, latency, lookup, memory, peer, policy,
    publish, report::Report, rig::Rig, routing, stream, usage,
};
use std::process::Command;
use tokio::runtime::{Builder, Runtime};

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|other| other == name);
    let mut report = Report::new();
    println!("{}; {}\n", report.machine, report.versions.join("; "));
    // The publisher has the whole machine, as its database has.
    Runtime::new().unwrap().block_on(async {
        if wanted("publish") {
            publish::whole().await.into_iter().for_each(|row| report.add(row));
        }
        if wanted("one-change") {
            publish::one_change().await.into_iter().for_each(|row| report.add(row));
        }
        if wanted("usage") {
            usage::of_a_month().await.into_iter().for_each(|row| report.add(row));
        }
        events(&wanted, &mut report).await;
    });
    if wanted("lookup") {
        for row in lookup::among_a_million() {
            report.add(row);
        }
    }
    leave_the_measured_core();
    let edge = Builder::new_current_thread().enable_all().build().unwrap();
    edge.block_on(at_the_edge(&wanted, &mut report));
    report.write().unwrap();
}

/// From the edge's call to the rows.
async fn events(wanted: &impl Fn(&str) -> bool, report: &mut Report) {
    if wanted("ingest") {
        ingest::to_the_disk().await.into_iter().for_each(|row| report.add(row));
    }
    if wanted("consume") {
        report.add(consume::into_postgres().await);
    }
    if wanted("drain") {
        drain::a_million().await.into_iter().for_each(|row| report.add(row));
    }
    if wanted("latency") {
        latency::to_the_row().await.into_iter().for_each(|row| report.add(row));
    }
}

async fn at_the_edge(wanted: &impl Fn(&str) -> bool, report: &mut Report) {
    if wanted("cold") {
        for row in cold::first_request().await {
            report.add(row);
        }
    }
    if wanted("forward-many") {
        report.add(forward::among_many().await);
    }
    if wanted("policy") {
        policy::rows(Effort::Full).await.into_iter().for_each(|row| report.add(row));
    }
    if wanted("routing") {
        routing::rows(Effort::Full).await.into_iter().for_each(|row| report.add(row));
    }
    if !["forward", "stream", "peer", "memory", "change"].into_iter().any(wanted) {
        return;
    }
    let rig = Rig::start().await;
    if wanted("forward") {
        forward::plain(&rig).await.into_iter().for_each(|row| report.add(row));
    }
    if wanted("stream") {
        forward::streamed(&rig).await.into_iter().for_each(|row| report.add(row));
        report.add(forward::stripped().await);
        report.add(stream::lateness(&rig).await);
    }
    if wanted("peer") {
        report.add(peer::portkey(&rig).await);
    }
    if wanted("memory") {
        memory::growth(&rig).await.into_iter().for_each(|row| report.add(row));
    }
    if wanted("change") {
        report.add(change::enforced().await);
    }
}

/// Load and upstream, which run in this process, must not compete with what is measured.
fn leave_the_measured_core() {
    let id = std::process::id().to_string();
    let done = Command::new("taskset").args(["-a", "-cp", "1", &id]).output();
    if !done.is_ok_and(|output| output.status.success()) {
        println!("taskset is missing: load and measured process share their cores");
    }
}
