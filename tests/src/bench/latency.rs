//! From the end of a request to its row in the database, at a light load.

use super::report::{Row, millis};
use crate::postgres::Postgres;
use crate::queue::AS_CONFIGURED;
use crate::redis::{DURABLE, Redis};
use crate::soak::dice::Dice;
use crate::soak::events::rig::{Place, Rig};
use control_plane::store::Store;
use control_plane::store::sql::query;
use serde_json::json;
use std::time::{Duration, Instant};
use uuid::Uuid;

const REQUESTS: usize = 300;
const EACH: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(2);

pub async fn to_the_row() -> Vec<Row> {
    let (server, redis) = (Postgres::start(), Redis::start(&DURABLE));
    let over_redis =
        Place { database: Some(server.create_database()), redis: Some(redis.url()), ..Place::default() };
    let mut rows = Vec::new();
    for (name, place) in [("SQLite", Place::default()), ("PostgreSQL, log in Redis", over_redis)] {
        let rig = Rig::start(Place { manners: AS_CONFIGURED, ..place }, Dice::new(1)).await;
        let mut took = measure(&rig).await;
        took.sort();
        let (median, late) = (took[REQUESTS / 2], took[REQUESTS * 99 / 100]);
        rows.push(Row {
            what: format!("end of a request to its row, p99 of {REQUESTS}, ten a second, {name}"),
            measured: millis(late),
            beside: format!("median {}; the queue collects for a second of it", millis(median)),
            ratio: None,
            to_reach: "under 2 s".into(),
            is_reached: late < LIMIT,
        });
    }
    rows
}

async fn measure(rig: &Rig) -> Vec<Duration> {
    let store = Store::connect(&rig.database).await.unwrap();
    let mut waiting = Vec::new();
    for number in 0..REQUESTS {
        let (id, ended) = ask(rig, number).await;
        let store = store.clone();
        waiting.push(tokio::spawn(async move {
            while !is_there(&store, id).await {
                tokio::time::sleep(LOOK).await;
            }
            ended.elapsed()
        }));
        tokio::time::sleep(EACH).await;
    }
    let mut took = Vec::new();
    for each in waiting {
        took.push(each.await.unwrap());
    }
    store.close().await;
    took
}

async fn ask(rig: &Rig, number: usize) -> (Uuid, Instant) {
    let (_, url) = rig.url(number, "/open/v1/chat/completions");
    let (_, token) = &rig.tokens.valid[number % rig.tokens.valid.len()];
    let body = json!({"model": "gpt-example+chunks=5", "messages": [{"role": "user", "content": "?"}]});
    let answer = crate::edge::call::client().post(url).bearer_auth(token).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let id = answer.headers()[shared::header::REQUEST_ID].to_str().unwrap().parse().unwrap();
    answer.bytes().await.unwrap();
    (id, Instant::now())
}

async fn is_there(store: &Store, id: Uuid) -> bool {
    let mut tx = store.read().await.unwrap();
    let found: i64 =
        query("select count(*) from events where id = $1").bind(id).scalar(&mut tx).await.unwrap();
    found == 1
}
