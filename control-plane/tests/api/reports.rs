//! `latchkey usage` and `latchkey events`, as people and programs run them.

use super::World;
use super::served::Served;
use crate::edge::Isolate;
use control_plane::clock;
use serde_json::Value;
use shared::event::Event;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

/// Longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that goes on; it is killed when it is dropped.
struct Following {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    complaints: Lines<BufReader<ChildStderr>>,
}

impl Following {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let complaints = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { _child: child, lines, complaints }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("a line");
        line.unwrap().expect("it goes on")
    }

    async fn complaint(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.complaints.next_line()).await.expect("a complaint");
        line.unwrap().expect("it goes on")
    }

    async fn id(&mut self) -> String {
        id_of(&serde_json::from_str(&self.line().await).unwrap())
    }
}

fn id_of(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

fn ids_of(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.id.to_string()).collect()
}

/// Requests that began one after the other, a moment ago.
fn moments(isolate: &mut Isolate, count: usize) -> Vec<Event> {
    let first = clock::now() - 2_000;
    (first..).take(count).map(|at| isolate.event_at(at)).collect()
}

/// Requests of a project's token, of two models, the last of which failed.
async fn events(world: &World, count: usize) -> Vec<Event> {
    let project = world.project("reports").await;
    let token = world.token(&project).await;
    let mut isolate = Isolate::new();
    let mut events = moments(&mut isolate, count);
    for (at, event) in events.iter_mut().enumerate() {
        event.project_id = Some(project.parse().unwrap());
        event.token_id = Some(token["id"].as_str().unwrap().parse().unwrap());
        event.model = Some(format!("gpt-test-{}", at % 2));
    }
    events.last_mut().unwrap().status = 429;
    world.events(&events).await;
    events
}

#[tokio::test]
async fn usage_is_told_to_people_and_to_programs() {
    let world = World::start().await;
    let served = Served::of(&world).await;
    assert_eq!(served.says(&["usage"]).await, "nothing was used in this time\n");
    assert_eq!(served.says(&["usage", "--json"]).await, "{\"data\":[]}\n");
    events(&world, 5).await;

    let [report]: [Value; 1] =
        served.objects(&["usage", "--by", "token,model", "--json"]).await.try_into().unwrap();
    let groups = report["data"].as_array().unwrap();
    let counts: Vec<_> = groups.iter().map(|group| (&group["model"], group["requests"].as_u64())).collect();
    assert_eq!(counts, [(&"gpt-test-0".into(), Some(3)), (&"gpt-test-1".into(), Some(2))]);
    assert_eq!(groups[0]["input_tokens"], 3_000);

    let table = served.says(&["usage"]).await;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(rows[0][..5], ["PROJECT", "TOKEN", "MODEL", "REQUESTS", "INPUT"]);
    assert_eq!(rows[1][..5], ["reports", "a", "token", "gpt-test-0", "3"]);

    let refused = served.latchkey(&["usage", "--by", "weather"]).output().await.unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && message.contains("group_by"), "{message}");
}

#[tokio::test]
async fn events_are_told_to_people_and_to_programs() {
    let world = World::start().await;
    let served = Served::of(&world).await;
    let mut ids = ids_of(&events(&world, 5).await);
    ids.reverse();
    let told = |events: Vec<Value>| events.iter().map(id_of).collect::<Vec<_>>();
    assert_eq!(told(served.objects(&["events", "--json"]).await), ids);
    assert_eq!(told(served.objects(&["events", "--json", "--limit", "2"]).await), ids[..2]);
    assert_eq!(told(served.objects(&["events", "--json", "--status", "429"]).await), ids[..1]);
    let table = served.says(&["events", "--limit", "3"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("STARTED") && lines.len() == 4, "{table}");
    for (line, id) in lines[1..].iter().zip(&ids) {
        assert!(line.ends_with(id.as_str()), "{table}");
    }
}

#[tokio::test]
async fn followed_events_come_once_each_and_oldest_first() {
    let world = World::start().await;
    let served = Served::of(&world).await;
    let before = ids_of(&events(&world, 5).await);
    let mut following = Following::start(served.latchkey(&["events", "--follow", "--json", "--limit", "2"]));
    assert_eq!([following.id().await, following.id().await], before[3..]);
    // More than a page of what it reads at a time.
    for count in [1, 230] {
        let new = moments(&mut Isolate::new(), count);
        world.events(&new).await;
        for id in ids_of(&new) {
            assert_eq!(following.id().await, id);
        }
    }
    let mut people = Following::start(served.latchkey(&["events", "-f", "--limit", "1"]));
    assert!(people.line().await.starts_with("STARTED"));
    people.line().await;
    let new = [Isolate::new().event()];
    world.events(&new).await;
    assert!(people.line().await.ends_with(&new[0].id.to_string()));
}

#[tokio::test]
async fn who_follows_waits_for_a_control_plane_that_is_away() {
    let world = World::start().await;
    let served = Served::of(&world).await;
    events(&world, 1).await;
    let mut following = Following::start(served.latchkey(&["events", "--follow", "--json"]));
    following.id().await;
    world.events(&moments(&mut Isolate::new(), 1)).await;
    following.id().await;
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    drop(served);
    let complaint = following.complaint().await;
    assert!(complaint.contains("no control plane answers") && complaint.contains("again"), "{complaint}");
    let meanwhile = moments(&mut Isolate::new(), 3);
    world.events(&meanwhile).await;
    let _served = Served::at(&world, &address).await;
    for id in ids_of(&meanwhile) {
        assert_eq!(following.id().await, id);
    }
    assert!(following.complaint().await.contains("answers again"));
}
