//! What every event log holds to.

use super::Log;
use crate::logs::Log as _;
use control_plane::clock;
use control_plane::events::log::{Backlog, Entry, EventLog, Position, READ_BYTES};
use std::sync::Arc;

const CONSUMER: &str = "database";

async fn fill(log: &Log, batches: &[&[u8]]) -> Arc<dyn EventLog> {
    log.attach(CONSUMER).await;
    let open = log.open();
    for batch in batches {
        open.append(batch, log.now()).await.unwrap();
    }
    open
}

fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("batch {number}\n").into_bytes()).collect()
}

fn slices(batches: &[Vec<u8>]) -> Vec<&[u8]> {
    batches.iter().map(Vec::as_slice).collect()
}

fn lines(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| entry.lines.as_slice()).collect()
}

fn positions(entries: &[Entry]) -> Vec<Position> {
    entries.iter().map(|entry| entry.position.clone()).collect()
}

#[tokio::test]
async fn what_is_appended_is_read_once_and_in_order() {
    let log = Log::create().await;
    let batches = numbered(25);
    let open = fill(&log, &slices(&batches)).await;
    let mut read = Vec::new();
    loop {
        let some = open.read(CONSUMER, 10, log.now()).await.unwrap();
        assert!(some.len() <= 10);
        if some.is_empty() {
            break;
        }
        read.extend(some);
    }
    assert_eq!(lines(&read), slices(&batches));
    assert!(read.iter().all(|entry| entry.attempts == 1));
    assert!(read.iter().all(|entry| entry.received_at.abs_diff(clock::now()) < 60_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_at_the_same_time_is_all_kept() {
    let log = Log::create().await;
    let open = fill(&log, &[]).await;
    let mut batches = numbered(200);
    let now = log.now();
    let appending: Vec<_> = batches
        .iter()
        .cloned()
        .map(|batch| {
            let open = Arc::clone(&open);
            tokio::spawn(async move { open.append(&batch, now).await })
        })
        .collect();
    // Who is no longer there to hear of it does not disturb the others.
    appending[7].abort();
    for (number, each) in appending.into_iter().enumerate() {
        if number != 7 {
            each.await.unwrap().unwrap();
        }
    }
    let read = open.read(CONSUMER, 1_000, now).await.unwrap();
    let mut kept: Vec<_> = read.into_iter().map(|entry| entry.lines).collect();
    kept.sort();
    if kept.len() < batches.len() {
        batches.remove(7);
    }
    batches.sort();
    assert_eq!(kept, batches);
}

#[tokio::test]
async fn a_read_is_bounded_in_bytes() {
    let log = Log::create().await;
    let half = READ_BYTES as usize / 2;
    let batches = [half, half + 1, 1, half, 1].map(|length| vec![b'x'; length]);
    let open = fill(&log, &slices(&batches)).await;
    let lengths = |entries: &[Entry]| entries.iter().map(|entry| entry.lines.len()).collect::<Vec<_>>();
    let first = open.read(CONSUMER, 10, log.now()).await.unwrap();
    let second = open.read(CONSUMER, 10, log.now()).await.unwrap();
    assert_eq!(lengths(&first), [half, half + 1]);
    assert_eq!(lengths(&second), [1, half, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_never_hold_the_same() {
    let log = Log::create().await;
    let batches = numbered(60);
    fill(&log, &slices(&batches)).await;
    let now = log.now();
    let reading = [log.open(), log.open()].map(|instance| {
        tokio::spawn(async move {
            let mut read = Vec::new();
            loop {
                let some = instance.read(CONSUMER, 3, now).await.unwrap();
                if some.is_empty() {
                    return read;
                }
                read.extend(some.into_iter().map(|entry| entry.lines));
            }
        })
    });
    let mut read = Vec::new();
    for each in reading {
        read.extend(each.await.unwrap());
    }
    read.sort();
    let mut all = batches;
    all.sort();
    assert_eq!(read, all);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_when_its_time_is_over() {
    let mut log = Log::create().await;
    let batches = numbered(3);
    let first = fill(&log, &slices(&batches)).await;
    let read = first.read(CONSUMER, 10, log.now()).await.unwrap();
    assert_eq!(read.len(), 3);
    first.acknowledge(CONSUMER, &positions(&read[1..2])).await.unwrap();
    // The first instance died with the others in its hands.
    let second = log.open();
    assert!(second.read(CONSUMER, 10, log.now()).await.unwrap().is_empty());
    log.end_leases().await;
    first.append(b"later\n", log.now()).await.unwrap();
    let again = second.read(CONSUMER, 10, log.now()).await.unwrap();
    assert_eq!(lines(&again), [&batches[0][..], &batches[2], b"later\n"]);
    assert_eq!(again.iter().map(|entry| entry.attempts).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(positions(&again)[..2], [positions(&read)[0].clone(), positions(&read)[2].clone()]);
    assert!(first.read(CONSUMER, 10, log.now()).await.unwrap().is_empty());
    log.end_leases().await;
    let third = first.read(CONSUMER, 1, log.now()).await.unwrap();
    assert_eq!((third.len(), third[0].attempts), (1, 3));
}

#[tokio::test]
async fn what_is_acknowledged_never_comes_again() {
    let mut log = Log::create().await;
    let open = fill(&log, &[b"one\n", b"two\n"]).await;
    let read = open.read(CONSUMER, 10, log.now()).await.unwrap();
    open.acknowledge(CONSUMER, &positions(&read)).await.unwrap();
    // Again, and of nothing.
    open.acknowledge(CONSUMER, &positions(&read)).await.unwrap();
    open.acknowledge(CONSUMER, &[]).await.unwrap();
    log.end_leases().await;
    for instance in [open, log.open()] {
        assert!(instance.read(CONSUMER, 10, log.now()).await.unwrap().is_empty());
    }
    assert_eq!(log.kept().await, 0);
}

#[tokio::test]
async fn each_consumer_gets_everything() {
    let log = Log::create().await;
    log.attach("file").await;
    let batches = numbered(5);
    let open = fill(&log, &slices(&batches)).await;
    for consumer in [CONSUMER, "file"] {
        let read = open.read(consumer, 10, log.now()).await.unwrap();
        assert_eq!(lines(&read), slices(&batches), "{consumer}");
        open.acknowledge(consumer, &positions(&read)).await.unwrap();
    }
    for consumer in [CONSUMER, "file"] {
        assert!(open.read(consumer, 10, log.now()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn nothing_goes_before_every_consumer_is_done_with_it() {
    let mut log = Log::create().await;
    log.attach("file").await;
    let batches = numbered(6);
    let open = fill(&log, &slices(&batches)).await;
    let read = open.read(CONSUMER, 10, log.now()).await.unwrap();
    open.acknowledge(CONSUMER, &positions(&read)).await.unwrap();
    assert_eq!(log.kept().await, 6, "the other consumer has read nothing");

    let read = open.read("file", 4, log.now()).await.unwrap();
    open.acknowledge("file", &positions(&read[..1])).await.unwrap();
    assert_eq!(log.kept().await, 5);
    // Not in order: one before it is in somebody's hands.
    open.acknowledge("file", &positions(&read[2..])).await.unwrap();
    log.end_leases().await;
    let rest = open.read("file", 10, log.now()).await.unwrap();
    assert_eq!(lines(&rest), [&batches[1][..], &batches[4], &batches[5]]);
    open.acknowledge("file", &positions(&rest)).await.unwrap();
    assert_eq!(log.kept().await, 0, "both are done");
}

#[tokio::test]
async fn what_waits_is_told() {
    let log = Log::create().await;
    let open = log.open();
    assert_eq!(open.backlog(CONSUMER).await.unwrap(), Backlog::default());
    log.attach(CONSUMER).await;
    assert_eq!(open.backlog(CONSUMER).await.unwrap(), Backlog::default());
    fill(&log, &[b"1\n", b"2\n", b"3\n"]).await;
    let waiting = async || {
        let Backlog { batches, oldest } = open.backlog(CONSUMER).await.unwrap();
        assert!(oldest.is_none_or(|at| at.abs_diff(log.now()) < 60_000));
        (batches, oldest.is_some())
    };
    assert_eq!(waiting().await, (3, true));
    let read = open.read(CONSUMER, 2, log.now()).await.unwrap();
    assert_eq!(waiting().await, (3, true));
    open.acknowledge(CONSUMER, &positions(&read)).await.unwrap();
    assert_eq!(waiting().await, (1, true));
    let read = open.read(CONSUMER, 2, log.now()).await.unwrap();
    open.acknowledge(CONSUMER, &positions(&read)).await.unwrap();
    assert_eq!(waiting().await, (0, false));
}

#[tokio::test]
async fn a_batch_comes_back_as_it_was() {
    let log = Log::create().await;
    let largest: Vec<u8> = (0..4 * 1024 * 1024_u32).flat_map(|number| (number * 31).to_le_bytes()).collect();
    let binary: Vec<u8> = (0..=255).collect();
    let batches: [&[u8]; 4] = [b"", &binary, &largest, b"\r\n\0\r\n"];
    let open = fill(&log, &batches).await;
    for batch in batches {
        let read = open.read(CONSUMER, 1, log.now()).await.unwrap();
        assert!(read.len() == 1 && read[0].lines == batch, "{} bytes", batch.len());
        open.acknowledge(CONSUMER, &positions(&read)).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_as_the_tests_have_it_loses_nothing() {
    let log = Log::create().await;
    let durability = log.open().check().await.unwrap();
    assert!(durability.is_lossless(), "{durability}");
}
