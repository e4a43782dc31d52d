//! Several control planes over one real `PostgreSQL` and one KV.

use latchkey_tests::kv::{Fault, Side};
use latchkey_tests::postgres::Postgres;
use latchkey_tests::soak::dice::Dice;
use latchkey_tests::soak::rig::Rig;
use latchkey_tests::soak::several::{self, Moment};
use latchkey_tests::soak::view::View;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::snapshot::MANIFEST_KEY;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

/// So long that nothing in a test comes from waiting for it.
const NEVER: &str = "600";

async fn rig(members: usize, variables: &[(&str, &str)]) -> Rig {
    Rig::start(Some(&Postgres::shared().create_database()), members, variables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_that_start_at_once_on_an_empty_database_one_publishes() {
    let url = Postgres::shared().create_database();
    let rig = Rig::start(Some(&url), 3, &[]).await;
    let leader = rig.leader().await;
    let holder = || Postgres::shared().psql(&url, "select holder from publisher_lease");
    let first = holder();
    let (project, _) = rig.project("one").await;
    for at in rig.fleet.all() {
        let token = rig.token(at, &project).await;
        rig.until("the token in KV", async || View::now(&rig.kv).token(token).is_some()).await;
        let said = rig.publisher_as_told_by(at).await;
        assert_eq!(said.as_deref(), Some(if at == leader { "this" } else { "another" }));
    }
    // The others look twice a second whether it is free.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(holder(), first, "another one took the lease of one that lives");
    rig.until_published(leader).await;
    rig.verify().await;
}

/// Nothing wakes the one that publishes, and its heartbeat is far away.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_beside_the_one_that_publishes_is_soon_in_kv() {
    let rig = rig(2, &[("SNAPSHOT_HEARTBEAT", NEVER)]).await;
    let follower = 1 - rig.leader().await;
    let (project, _) = rig.project("beside").await;
    let token = rig.token(follower, &project).await;
    rig.revoke(follower, token).await;
    println!("in KV after {:.1?}", rig.until_revoked(token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_one_that_publishes_is_killed_another_publishes_what_waits() {
    let rig = rig(3, &[("SNAPSHOT_LEASE", "2"), ("SNAPSHOT_HEARTBEAT", NEVER)]).await;
    let (project, _) = rig.project("killed").await;
    let token = rig.token(0, &project).await;
    for _ in 0..2 {
        let leader = rig.leader().await;
        let follower = (leader + 1) % 3;
        rig.fleet.kill(leader);
        let token = rig.token(follower, &project).await;
        rig.revoke(follower, token).await;
        println!("in KV after {:.1?}", rig.until_revoked(token).await);
        assert_ne!(rig.leader().await, leader);
        rig.fleet.restart(leader).await;
        assert_eq!(rig.publisher_as_told_by(leader).await.as_deref(), Some("another"));
    }
    assert!(!View::now(&rig.kv).is_revoked(token));
    rig.verify().await;
}

/// Nobody waits for the lease to lapse, which would take ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_hands_over_at_once() {
    let rig = rig(2, &[("SNAPSHOT_LEASE", NEVER)]).await;
    let (project, _) = rig.project("stops").await;
    let token = rig.token(0, &project).await;
    let leader = rig.leader().await;
    rig.fleet.stop(leader).await;
    rig.revoke(1 - leader, token).await;
    rig.until_revoked(token).await;
    assert_eq!(rig.leader().await, 1 - leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_the_midst_one_leaves_old_state_for_a_heartbeat_at_most() {
    let mut dice = Dice::of_environment();
    let after_change = Moment::AfterChange(dice.millis(0..80));
    let moments = [Moment::ManifestUnderWay, Moment::Idle, Moment::ManifestUnderWay, after_change];
    println!("{}", several::run(Postgres::shared(), moments, dice).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_or_compiling_it_leaves_no_old_state_either() {
    let moments = [Moment::KilledWithManifestUnderWay, Moment::Compiling];
    println!("{}", several::run(Postgres::shared(), moments, Dice::of_environment()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_publish_is_carried_out_whoever_is_asked() {
    let rig = rig(2, &[("SNAPSHOT_HEARTBEAT", NEVER)]).await;
    let follower = 1 - rig.leader().await;
    rig.until_published(follower).await;
    let before = View::now(&rig.kv).manifest.version;
    let answer = rig.must(follower, Method::POST, "/manage/snapshot/publish", None).await;
    let now = View::now(&rig.kv).manifest.version;
    assert!(now > before && answer["published_version"] == now, "{before} {now} {answer}");

    rig.kv.set_fault(Side::Rest, Fault::Fail);
    let caller = rig.fleet.caller(follower).unwrap();
    let refused = caller.call(Method::POST, "/manage/snapshot/publish", None).await.unwrap();
    assert_eq!(refused.0, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.1);
}

/// KV is slow, so that one sees whether the answer is true.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_in_use_when_it_is_said_to_be() {
    let rig = rig(2, &[("SNAPSHOT_SETTLE", "1"), ("SNAPSHOT_HEARTBEAT", NEVER)]).await;
    let (project, _) = rig.project("rebuilt").await;
    for _ in 0..2 {
        rig.token(0, &project).await;
        rig.kv.set_fault(Side::Rest, Fault::Delay(Duration::from_millis(700)));
        let before = View::now(&rig.kv).manifest.base;
        let output = rig.fleet.setup().run(&["snapshot", "rebuild", "--json"]).await;
        let now = View::now(&rig.kv).manifest;
        rig.kv.set_fault(Side::Rest, Fault::None);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_ne!(now.base, before, "{answer}");
        assert_eq!(answer["version"], now.version);
    }
    rig.until_published(0).await;
    rig.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_database_killed_under_both_they_go_on_afterwards() {
    let server = Postgres::start();
    let rig = Rig::start(Some(&server.create_database()), 2, &[("SNAPSHOT_LEASE", "2")]).await;
    let (project, _) = rig.project("database").await;
    let before = rig.token(0, &project).await;
    rig.until_published(0).await;
    let ways: [[fn(&Postgres); 2]; 2] =
        [[Postgres::kill, Postgres::restart], [Postgres::pause, Postgres::resume]];
    for [end, begin] in ways {
        // For longer than the lease.
        tokio::task::block_in_place(|| end(&server));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!View::now(&rig.kv).is_revoked(before));
        tokio::task::block_in_place(|| begin(&server));
        let body = json!({"project_id": project, "name": "x"});
        let is_made = async |at| {
            let call =
                rig.fleet.caller(at).unwrap().call(Method::POST, "/manage/tokens", Some(body.clone())).await;
            call.is_ok_and(|(status, _)| status == StatusCode::CREATED)
        };
        rig.until("a change", async || is_made(0).await && is_made(1).await).await;
        let token = rig.token(1, &project).await;
        rig.revoke(0, token).await;
        rig.until_revoked(token).await;
        rig.leader().await;
    }
    rig.until_published(1).await;
    rig.verify().await;
}

/// The lower number in the outbox becomes visible when a higher one is told already.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_commits_after_a_later_one_was_published_is_told() {
    let server = Postgres::shared();
    let url = server.create_database();
    let rig = Rig::start(Some(&url), 2, &[("SNAPSHOT_HEARTBEAT", NEVER)]).await;
    let (project, _) = rig.project("order").await;
    let [slow, fast] = [rig.token(0, &project).await, rig.token(1, &project).await];
    rig.until_published(0).await;

    let mut session = Session::start(server, &url);
    session.tell("begin;");
    session.tell(&format!("update tokens set revoked_at = created_at where id = '{slow}';"));
    session.tell(&format!("insert into outbox (token_id, created_at) values ('{slow}', 0) returning seq;"));
    let lower: i64 = session.hear().parse().unwrap();
    rig.revoke(1, fast).await;
    rig.until_revoked(fast).await;
    let higher: i64 = server.psql(&url, "select last_value from outbox_seq_seq").parse().unwrap();
    assert!(lower < higher, "{lower} {higher}");
    assert!(!View::now(&rig.kv).is_revoked(slow));

    session.tell("commit;");
    rig.until_revoked(slow).await;
    rig.until_published(0).await;
    rig.verify().await;
    assert!(rig.kv.writes(Side::Rest, MANIFEST_KEY) > 2);
}

/// `psql` with a transaction that stays open.
struct Session {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn start(server: &Postgres, url: &str) -> Self {
        let mut command = server.command("psql");
        command.args(["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", url]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output }
    }

    fn tell(&mut self, statement: &str) {
        writeln!(self.input, "{statement}").unwrap();
        self.input.flush().unwrap();
    }

    /// One line.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
