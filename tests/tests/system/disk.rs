//! What is acknowledged survives a power cut: seen in the system calls.

use latchkey_tests::redis::DURABLE;
use latchkey_tests::synced::{in_redis, in_sqlite, is_traceable};

#[tokio::test]
async fn a_batch_is_on_disk_before_it_is_acknowledged() {
    if is_traceable() {
        in_sqlite(None).await.unwrap();
    } else {
        eprintln!("NOT TESTED: nothing may be traced here");
    }
}

/// And the trace would show if it were not.
#[test]
fn redis_syncs_before_it_answers_only_when_told_to() {
    if is_traceable() {
        in_redis(&DURABLE).unwrap();
        let without = in_redis(&["appendonly yes", "appendfsync no"]).unwrap_err();
        assert!(without.contains("written: true, and not synced"), "{without}");
    } else {
        eprintln!("NOT TESTED: nothing may be traced here");
    }
}
