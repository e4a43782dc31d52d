//! `/edge/events`: what is taken in, and what is not.

use super::World;
use crate::edge::{Batch, Isolate, lines};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use control_plane::clock;
use control_plane::store::Connection;
use control_plane::store::sql::{query, query_each};
use serde_json::json;
use shared::signed_call::WINDOW_SECS;
use std::time::Duration;

async fn rows(world: &World, text: &'static str) -> i64 {
    query(text).scalar(&mut world.store.read().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_signed_batch_is_kept_and_answered() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let events = [isolate.event(), isolate.event(), isolate.event()];
    let answer = world.batch(&Batch::new(lines(&events))).await.ok(StatusCode::OK);
    assert_eq!(answer, json!({ "accepted": 3, "set_aside": 0 }));
    assert_eq!(rows(&world, "select count(*) from event_log").await, 1);
    assert_eq!(rows(&world, "select count(*) from events").await, 0);
    world.count().await;
    assert_eq!(rows(&world, "select count(*) from events").await, 3);
    assert_eq!(rows(&world, "select count(*) from event_log").await, 0);
    assert_eq!(rows(&world, "select count(*) from event_deliveries").await, 0);
}

/// A power cut after the answer must not take it back.
#[tokio::test]
async fn what_is_answered_is_on_disk() {
    let world = World::start().await;
    let mut tx = world.store.write().await.unwrap();
    let setting = query_each("pragma synchronous", "show synchronous_commit");
    match &*tx {
        // 2 is full: each commit waits for the disk.
        Connection::Sqlite(_) => assert_eq!(setting.scalar::<i64>(&mut tx).await.unwrap(), 2),
        Connection::Postgres(_) => assert_eq!(setting.scalar::<String>(&mut tx).await.unwrap(), "on"),
    }
}

#[tokio::test]
async fn who_is_not_the_edge_is_refused() {
    let world = World::start().await;
    let body = lines(&[Isolate::new().event()]);
    let unsigned = Request::post("/edge/events")
        .header("content-type", "application/x-ndjson")
        .body(Body::from(body.clone()))
        .unwrap();
    world.send(unsigned).await.error(401, "unauthorized");
    // Nor is one with the management token.
    let managed = crate::world::request(axum::http::Method::POST, "/edge/events", Some(json!({})));
    world.send(managed).await.error(401, "unauthorized");

    let other_key = Batch { key: 6, ..Batch::new(body.clone()) };
    assert!(world.batch(&other_key).await.error(401, "unauthorized").contains("key"));
    let mut changed = Batch::new(body.clone()).request();
    *changed.body_mut() = Body::from(lines(&[Isolate::new().event()]));
    changed.headers_mut().remove("content-length");
    assert!(world.send(changed).await.error(401, "unauthorized").contains("match"));
    let twice = {
        let mut request = Batch::new(body.clone()).request();
        request.headers_mut().append("x-latchkey-nonce", "n".parse().unwrap());
        request
    };
    world.send(twice).await.error(401, "unauthorized");
    let other_kind = Batch { kind: "application/json", ..Batch::new(body) };
    world.batch(&other_kind).await.error(415, "unsupported_media_type");
    world.get("/edge/events").await.error(405, "method_not_allowed");
    assert_eq!(rows(&world, "select count(*) from event_log").await, 0);
}

/// A sender whose clock is off learns the time and signs anew.
#[tokio::test]
async fn a_call_of_another_time_is_refused_with_the_time() {
    let world = World::start().await;
    let body = lines(&[Isolate::new().event()]);
    let now = clock::now() / 1000;
    for time in [now - WINDOW_SECS - 10, now + WINDOW_SECS + 10, 0] {
        let answer = world.batch(&Batch { time, ..Batch::new(body.clone()) }).await;
        let told: u64 = answer.headers["x-latchkey-time"].to_str().unwrap().parse().unwrap();
        assert!(told.abs_diff(now) < 60);
        answer.error(401, "unauthorized");
        world.batch(&Batch { time: told, ..Batch::new(body.clone()) }).await.ok(StatusCode::OK);
    }
    for time in [now - WINDOW_SECS + 60, now + WINDOW_SECS - 60] {
        world.batch(&Batch { time, ..Batch::new(body.clone()) }).await.ok(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_replayed_call_is_refused_and_one_signed_anew_is_harmless() {
    let world = World::start().await;
    let body = lines(&[Isolate::new().event()]);
    let batch = Batch::new(body.clone());
    world.batch(&batch).await.ok(StatusCode::OK);
    assert!(world.batch(&batch).await.error(409, "conflict").contains("nonce"));
    world.batch(&Batch::new(body)).await.ok(StatusCode::OK);
    world.count().await;
    assert_eq!(rows(&world, "select count(*) from events").await, 1);
    assert_eq!(rows(&world, "select requests from usage_hourly").await, 1);
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_refused_unread() {
    let world = World::start().await;
    let most = 16 * 1024 * 1024;
    let body = vec![b'\n'; most + 1];
    world.batch(&Batch::new(body.clone())).await.error(413, "body_too_large");
    // Without its length, it is counted while it is read.
    let mut request = Batch::new(body).request();
    request.headers_mut().remove("content-length");
    world.send(request).await.error(413, "body_too_large");
    let declared = Request::post("/edge/events")
        .header("content-type", "application/x-ndjson")
        .header("content-length", most + 1)
        .header("x-latchkey-time", clock::now() / 1000)
        .header("x-latchkey-nonce", "n")
        .header("x-latchkey-signature", "v1;0;0")
        .body(Body::from("never read"))
        .unwrap();
    world.send(declared).await.error(413, "body_too_large");
    let answer = world.batch(&Batch::new(vec![b'\n'; most])).await.ok(StatusCode::OK);
    assert_eq!(answer, json!({ "accepted": 0, "set_aside": 0 }));
    assert_eq!(rows(&world, "select count(*) from event_log").await, 0);
}

#[tokio::test]
async fn bad_lines_are_set_aside_and_the_rest_counts() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let mut body = lines(&[isolate.event()]);
    let mut bad = vec![
        b"not json".to_vec(),
        b"{}".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        vec![b'['; 70_000],
        isolate.event().to_line().unwrap().replace("\"v\":1", "\"v\":2").into_bytes(),
        isolate.event_at(clock::now() + 3_600_000).to_line().unwrap().into_bytes(),
        isolate.event_at(clock::now() - 31 * 86_400_000).to_line().unwrap().into_bytes(),
    ];
    let mut drifted = isolate.event();
    drifted.id = crate::edge::new_id(clock::now() - 86_400_000);
    bad.push(drifted.to_line().unwrap().into_bytes());
    for line in &bad {
        body.extend_from_slice(line);
        body.extend_from_slice(b"\r\n\n");
    }
    body.extend(lines(&[isolate.event()]));
    // Even without an end.
    body.pop();
    let answer = world.batch(&Batch::new(body.clone())).await.ok(StatusCode::OK);
    assert_eq!(answer, json!({ "accepted": 2, "set_aside": bad.len() }));
    world.count().await;
    assert_eq!(rows(&world, "select count(*) from events").await, 2);
    let kept = "select count(*) from events_set_aside";
    assert_eq!(rows(&world, kept).await, i64::try_from(bad.len()).unwrap());
    // Again: nothing is there twice.
    world.batch(&Batch::new(body)).await.ok(StatusCode::OK);
    world.count().await;
    assert_eq!(rows(&world, kept).await, i64::try_from(bad.len()).unwrap());
    let counted = "select count from event_counters where name = 'set_aside'";
    assert_eq!(rows(&world, counted).await, i64::try_from(bad.len()).unwrap());
    let counted = "select count from event_counters where name = 'duplicates'";
    assert_eq!(rows(&world, counted).await, 2);
}

#[tokio::test]
async fn a_flood_of_bad_lines_is_counted_and_bounded() {
    let world = World::start().await;
    let body: Vec<u8> = (0..20_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let answer = world.batch(&Batch::new(body)).await.ok(StatusCode::OK);
    assert_eq!(answer["set_aside"], 20_000);
    world.count().await;
    assert!(rows(&world, "select count(*) from events_set_aside").await <= 500);
    assert_eq!(rows(&world, "select count from event_counters where name = 'set_aside'").await, 20_000);
}

/// A newer edge may know more than this version.
#[tokio::test]
async fn unknown_fields_are_let_be() {
    let world = World::start().await;
    let line = Isolate::new().event().to_line().unwrap().replacen('{', r#"{"cache_status":{"hit":1},"#, 1);
    let answer = world.batch(&Batch::new(line)).await.ok(StatusCode::OK);
    assert_eq!(answer["accepted"], 1);
    world.count().await;
    assert_eq!(rows(&world, "select count(*) from events").await, 1);
}

#[tokio::test]
async fn ten_thousand_events_in_one_batch_are_one_answer() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let events: Vec<_> = (0..10_000).map(|_| isolate.event()).collect();
    let started = clock::start();
    world.events(&events).await;
    println!("10,000 events taken in and counted in {:?}", started.elapsed());
    assert_eq!(rows(&world, "select count(*) from events").await, 10_000);
    assert_eq!(rows(&world, "select cast(sum(requests) as bigint) from usage_hourly").await, 10_000);
    let gap = "select max_seq - received from event_isolates";
    assert_eq!(rows(&world, gap).await, 0);
}

/// Duplicated, in another order, in two batches, in one twice.
#[tokio::test]
async fn however_often_and_in_whatever_order_each_counts_once() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let events: Vec<_> = (0..20).map(|_| isolate.event()).collect();
    let reversed: Vec<_> = events.iter().rev().cloned().collect();
    for some in [&reversed[..7], &events[..15], &reversed[..], &[events[3].clone(), events[3].clone()][..]] {
        world.batch(&Batch::new(lines(some))).await.ok(StatusCode::OK);
    }
    world.count().await;
    world.events(&events[..10]).await;
    assert_eq!(rows(&world, "select count(*) from events").await, 20);
    assert_eq!(rows(&world, "select cast(sum(requests) as bigint) from usage_daily").await, 20);
    assert_eq!(rows(&world, "select received from event_isolates").await, 20);
    assert_eq!(rows(&world, "select max_seq from event_isolates").await, 20);
}

/// Counted, and cut off before the log was told.
#[tokio::test]
async fn a_batch_that_is_read_again_counts_once() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    world.batch(&Batch::new(lines(&[isolate.event(), isolate.event()]))).await.ok(StatusCode::OK);
    let entries = world.log.read("database", 10, clock::now()).await.unwrap();
    assert_eq!((entries.len(), entries[0].attempts), (1, 1));
    // In someone's hands: nobody else gets it, until the time is over.
    assert!(world.log.read("database", 10, clock::now()).await.unwrap().is_empty());
    let later = clock::now() + 60_000;
    let again = world.log.read("database", 10, later).await.unwrap();
    assert_eq!((again[0].position.clone(), again[0].attempts), (entries[0].position.clone(), 2));

    let mut tx = world.store.write().await.unwrap();
    query("update event_deliveries set taken_until = 0").execute(&mut tx).await.unwrap();
    query("insert into event_deliveries (consumer, position, taken_until, attempts) select 'database', position + 1, 0, 0 from event_log").execute(&mut tx).await.unwrap();
    query_each(
        "insert into event_log (position, received_at, lines) select position + 1, received_at, lines from event_log",
        "insert into event_log (position, received_at, lines) overriding system value \
         select position + 1, received_at, lines from event_log",
    )
    .execute(&mut tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    world.count().await;
    assert_eq!(rows(&world, "select count(*) from events").await, 2);
    assert_eq!(rows(&world, "select cast(sum(requests) as bigint) from usage_hourly").await, 2);
    assert_eq!(rows(&world, "select count(*) from event_log").await, 0);
}

/// Several control planes over one database: each batch counts once.
#[tokio::test]
async fn consumers_share_the_work() {
    let world = World::start().await;
    let beside = world.beside().await;
    let mut isolate = Isolate::new();
    let mut all = Vec::new();
    for _ in 0..40 {
        let events: Vec<_> = (0..25).map(|_| isolate.event()).collect();
        world.batch(&Batch::new(lines(&events))).await.ok(StatusCode::OK);
        // And half of them come again.
        if all.len() % 2 == 0 {
            beside.batch(&Batch::new(lines(&events))).await.ok(StatusCode::OK);
        }
        all.push(events);
    }
    let (end, ending) = tokio::sync::watch::channel(false);
    let running =
        [&world, &beside, &world, &beside].map(|each| tokio::spawn(each.consumer().run(ending.clone())));
    let deadline = clock::start();
    while rows(&world, "select count(*) from event_deliveries").await > 0 {
        assert!(deadline.elapsed() < Duration::from_mins(1), "not counted in a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    end.send(true).unwrap();
    for each in running {
        each.await.unwrap();
    }
    assert_eq!(rows(&world, "select count(*) from events").await, 1_000);
    assert_eq!(rows(&world, "select cast(sum(requests) as bigint) from usage_hourly").await, 1_000);
    assert_eq!(rows(&world, "select received from event_isolates").await, 1_000);
    assert_eq!(rows(&world, "select count(*) from event_log").await, 0);
}

/// What no database takes is found among many, and does not hold the others up.
#[tokio::test]
async fn an_event_that_cannot_be_stored_is_set_aside() {
    let world = World::start().await;
    let mut tx = world.store.write().await.unwrap();
    for text in ["create trigger poison before insert on events when new.model = 'poison' \
         begin select raise(abort, 'poison'); end"]
    {
        if matches!(&*tx, Connection::Sqlite(_)) {
            query(text).execute(&mut tx).await.unwrap();
        } else {
            query("alter table events add constraint poison check (model <> 'poison')")
                .execute(&mut tx)
                .await
                .unwrap();
        }
    }
    tx.commit().await.unwrap();
    let mut isolate = Isolate::new();
    let mut events: Vec<_> = (0..30).map(|_| isolate.event()).collect();
    events[17].model = Some("poison".into());
    world.events(&events).await;
    assert_eq!(rows(&world, "select count(*) from events").await, 29);
    assert_eq!(rows(&world, "select cast(sum(requests) as bigint) from usage_hourly").await, 29);
    assert_eq!(rows(&world, "select count(*) from events_set_aside").await, 1);
    assert_eq!(rows(&world, "select count(*) from event_log").await, 0);
}

/// Kept, and not yet counted when the process ends.
#[tokio::test]
async fn what_was_answered_is_counted_after_a_restart() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    world.batch(&Batch::new(lines(&[isolate.event(), isolate.event()]))).await.ok(StatusCode::OK);
    let world = World::on(world.stop().await).await;
    assert_eq!(rows(&world, "select count(*) from events").await, 0);
    world.count().await;
    assert_eq!(rows(&world, "select count(*) from events").await, 2);
}

/// The sender hears of it, and sends again.
#[tokio::test]
async fn without_a_database_nothing_is_acknowledged() {
    let world = World::start().await;
    let batch = Batch::new(lines(&[Isolate::new().event()]));
    world.store.close().await;
    world.batch(&batch).await.error(503, "unavailable");
}
