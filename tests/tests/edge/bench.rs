//! The benchmarks run, and what they ask for is answered.

use latchkey_tests::bench::cost::Effort;
use latchkey_tests::bench::{policy, routing};

#[tokio::test]
async fn those_of_policies() {
    assert_eq!(policy::rows(Effort::Quick).await.len(), 3);
}

#[tokio::test]
async fn those_of_routes() {
    assert_eq!(routing::rows(Effort::Quick).await.len(), 4);
}
