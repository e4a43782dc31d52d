//! A month of usage by token and day, as who pays the bill asks for it.

use super::report::{Row, millis};
use crate::kv::KvServer;
use crate::postgres::Postgres;
use crate::stack::ControlPlane;
use control_plane::clock;
use control_plane::store::sql::{Query, query, query_each};
use control_plane::store::{Store, migrate};
use control_plane::timestamp::Timestamp;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DAYS: u64 = 30;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const GROUPS: usize = 30_000;
const ROUNDS: usize = 7;
const LIMIT: Duration = Duration::from_millis(200);

/// The first page, as it comes unless one asks otherwise, and everything.
pub async fn of_a_month() -> Vec<Row> {
    let mut rows = Vec::new();
    let folder = TempDir::new().unwrap();
    let sqlite = format!("sqlite://{}?mode=rwc", folder.path().join("usage.db").display());
    for (name, url) in [("SQLite", sqlite), ("PostgreSQL", Postgres::shared().create_database())] {
        let today = clock::now() / DAY_MS;
        let from = today - (DAYS - 1);
        fill(&url, from.try_into().unwrap()).await;
        let kv = KvServer::start().await;
        let control_plane = ControlPlane::start(folder.path(), &kv, &[("DATABASE_URL", &url)]);
        let path = format!("/manage/usage?group_by=token,day&from={}", Timestamp(from * DAY_MS));
        for (what, path, pages) in
            [("first page", path.clone(), 1), ("all 30,000 groups", format!("{path}&limit=10000"), 3)]
        {
            let mut took = Vec::new();
            let mut groups = 0;
            for _ in 0..ROUNDS {
                let started = Instant::now();
                groups = read(&control_plane, &path, pages).await;
                took.push(started.elapsed());
            }
            assert!(pages == 1 || groups == GROUPS, "{groups}");
            took.sort();
            let median = took[took.len() / 2];
            rows.push(Row {
                what: format!("a month by token and day, {what}, {name}"),
                measured: millis(median),
                beside: format!(
                    "{groups} groups, of 2,160,000 sums by hour; longest {}",
                    millis(took[ROUNDS - 1])
                ),
                ratio: None,
                to_reach: "under 200 ms".into(),
                is_reached: median < LIMIT,
            });
        }
    }
    rows
}

/// How many groups so many pages have.
async fn read(control_plane: &ControlPlane, path: &str, pages: usize) -> usize {
    let mut groups = 0;
    let mut cursor = String::new();
    for _ in 0..pages {
        let page = control_plane.get(&format!("{path}{cursor}")).await;
        groups += page["data"].as_array().unwrap().len();
        cursor = page["next_cursor"].as_str().map_or_else(String::new, |next| format!("&cursor={next}"));
    }
    groups
}

/// 1,000 tokens, 3 models, 720 hours from day `first` on.
async fn fill(url: &str, first: i64) {
    migrate::up(url).await.unwrap();
    let store = Store::connect(url).await.unwrap();
    let mut tx = store.write().await.unwrap();
    fill_hourly().bind(first * 24).execute(&mut tx).await.unwrap();
    fill_daily().bind(first).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

fn fill_hourly() -> Query {
    query_each(
        "with recursive hours(h) as (select 0 union all select h + 1 from hours where h < 719), \
         tokens(t) as (select 1 union all select t + 1 from tokens where t < 1000), \
         models(m) as (select 'gpt-4o' union all select 'gpt-4o-mini' union all select 'o3') \
         insert into usage_hourly select $1 + h, unhex(printf('%032x', 1 + t % 10)), unhex(printf('%032x', 100 + t)), \
         'openai', m, 200, 'complete', 1, 1000, 2000, 300, 400, 50, 60, 7000, 0, 0 \
         from hours, tokens, models where true order by 1, 2, 3, 4, 5",
        "insert into usage_hourly select $1 + h, lpad(to_hex(1 + t % 10), 32, '0')::uuid, \
         lpad(to_hex(100 + t), 32, '0')::uuid, 'openai', m, 200, 'complete', 1, 1000, 2000, 300, 400, 50, 60, 7000, 0, 0 \
         from generate_series(0, 719) h, generate_series(1, 1000) t, unnest(array['gpt-4o', 'gpt-4o-mini', 'o3']) m",
    )
}

fn fill_daily() -> Query {
    query(
        "insert into usage_daily select hour / 24, project_id, token_id, provider, model, status, completion, \
         sum(requests), sum(bytes_in), sum(bytes_out), sum(input_tokens), sum(output_tokens), sum(cached_input_tokens), \
         sum(reasoning_tokens), sum(cost), sum(unpriced), sum(estimated) from usage_hourly where hour / 24 >= $1 \
         group by 1, 2, 3, 4, 5, 6, 7",
    )
}
