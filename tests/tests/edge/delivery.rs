//! The queue's handler: what it posts, and what becomes of the messages.

use latchkey_tests::edge::EdgeStack;
use latchkey_tests::events::{Fault, Side};
use latchkey_tests::process::root;

const QUEUE: &str = "latchkey-events";
const DEAD: &str = "latchkey-events-dead";

/// Events of this stack's, as the queue took them, none of which came to the
/// control plane yet.
async fn messages(edge: &EdgeStack, count: usize) -> Vec<String> {
    while edge.events.taken(Side::Queue).len() < count {
        let reply = edge.ask(&edge.token).await;
        edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
    }
    edge.events.taken(Side::Queue)
}

#[tokio::test]
async fn a_batch_is_one_signed_call_and_acknowledged_when_it_is_stored() {
    let edge = EdgeStack::warm(60_000).await;
    let texts = messages(&edge, 3).await;
    let batch: Vec<(u32, &str)> = texts.iter().map(|text| (1, text.as_str())).collect();
    let delivered = edge.workerd.deliver(QUEUE, &batch).await;
    assert_eq!(delivered.acknowledged, [0, 1, 2]);
    assert!(delivered.is_ok && delivered.again.is_empty());
    assert_eq!(edge.events.taken(Side::ControlPlane), [texts.concat()]);
}

#[tokio::test]
async fn what_is_not_stored_comes_again_later_each_time() {
    let edge = EdgeStack::warm(60_000).await;
    let texts = messages(&edge, 1).await;
    let batch = [(1, texts[0].as_str()), (3, texts[0].as_str()), (99, texts[0].as_str())];
    for status in [500, 503, 429, 401, 404, 408] {
        edge.events.set_fault(Side::ControlPlane, Fault::Status(status));
        let delivered = edge.workerd.deliver(QUEUE, &batch).await;
        assert_eq!(delivered.again, [(0, 2), (1, 8), (2, 300)], "{status}");
        assert!(delivered.is_ok && delivered.acknowledged.is_empty());
    }
    assert!(edge.events.taken(Side::ControlPlane).is_empty());
}

#[tokio::test]
async fn dead_letters_are_tried_slowly_until_they_are_stored() {
    let edge = EdgeStack::warm(60_000).await;
    let texts = messages(&edge, 2).await;
    let batch = [(1, texts[0].as_str()), (3, texts[1].as_str()), (99, texts[0].as_str())];
    edge.events.set_fault(Side::ControlPlane, Fault::Status(503));
    let delivered = edge.workerd.deliver(DEAD, &batch).await;
    assert_eq!(delivered.again, [(0, 60), (1, 240), (2, 3_600)]);
    assert!(edge.events.taken(Side::ControlPlane).is_empty());
    edge.events.set_fault(Side::ControlPlane, Fault::None);
    let delivered = edge.workerd.deliver(DEAD, &batch).await;
    assert_eq!((delivered.acknowledged, delivered.again), (vec![0, 1, 2], Vec::new()));
    let stored = edge.events.taken(Side::ControlPlane);
    assert_eq!(stored, [batch.map(|(_, text)| text).concat()]);
}

/// Deployed are the queues that the handler is made for.
#[test]
fn each_queue_has_a_consumer_and_the_first_its_dead_letters() {
    let text = std::fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let queues = |side: &str| config["queues"][side].as_array().unwrap().clone();
    let [producer]: [toml::Value; 1] = queues("producers").try_into().unwrap();
    assert_eq!((producer["binding"].as_str(), producer["queue"].as_str()), (Some("EVENTS"), Some(QUEUE)));
    let consumers = queues("consumers");
    let names: Vec<_> = consumers.iter().map(|consumer| consumer["queue"].as_str().unwrap()).collect();
    assert_eq!(names, [QUEUE, DEAD]);
    assert_eq!(consumers[0]["dead_letter_queue"].as_str(), Some(DEAD));
    assert_eq!(consumers[1].get("dead_letter_queue"), None);
    for consumer in &consumers {
        // Of at most 100 KB each, so that a batch is one call below the control plane's cap.
        assert!(consumer["max_batch_size"].as_integer().unwrap() * 100_000 < 16_000_000);
        assert_eq!(consumer["max_retries"].as_integer(), Some(100), "the most that there can be");
    }
}

#[tokio::test]
async fn a_message_that_is_never_taken_does_not_hold_up_the_others() {
    let edge = EdgeStack::warm(60_000).await;
    let texts = messages(&edge, 1).await;
    let bad = texts[0].repeat(9);
    for status in [400, 413, 422] {
        edge.events.set_fault(Side::ControlPlane, Fault::MoreLinesThan(8, status));
        let batch = [(1, texts[0].as_str()), (1, &bad), (1, &texts[0]), (1, &texts[0])];
        let mut delivered = edge.workerd.deliver(QUEUE, &batch).await;
        delivered.acknowledged.sort_unstable();
        assert_eq!((delivered.acknowledged, delivered.again), (vec![0, 2, 3], vec![(1, 2)]), "{status}");
    }
}

#[tokio::test]
async fn a_control_plane_with_another_time_is_believed_once() {
    let edge = EdgeStack::warm(60_000).await;
    let texts = messages(&edge, 1).await;
    edge.events.set_fault(Side::ControlPlane, Fault::Skew(3_600));
    let delivered = edge.workerd.deliver(QUEUE, &[(1, &texts[0])]).await;
    assert_eq!(delivered.acknowledged, [0]);
    assert_eq!(edge.events.asked(Side::ControlPlane), 2);
}
