//! No secret leaves by another door.

use latchkey_tests::fixture::UPSTREAM_KEY;
use latchkey_tests::keys::MANAGEMENT_TOKEN;
use latchkey_tests::stack::{LOG, Stack};
use reqwest::Method;

#[tokio::test]
async fn secrets_are_in_no_answer_no_audit_record_no_file_and_not_in_kv() {
    let stack = Stack::start().await;
    let (id, token) = stack.token().await;
    assert_eq!(stack.ask(&token).await.0, 200);
    // A mistake that people make: the token where its id belongs.
    let mistaken = stack.control_plane.call(Method::DELETE, &format!("/manage/tokens/{token}"), None).await;
    assert_eq!(mistaken.0, 404);
    let project = &stack.project_id;
    let mut seen = String::new();
    for path in [
        "/manage/audit?limit=100".to_owned(),
        "/manage/projects".to_owned(),
        format!("/manage/projects/{project}/credentials"),
        format!("/manage/tokens/{id}"),
        "/manage/tokens".to_owned(),
        "/manage/providers".to_owned(),
        "/manage/snapshot".to_owned(),
        "/openapi.json".to_owned(),
    ] {
        seen.push_str(&stack.control_plane.get(&path).await.to_string());
    }
    stack.until_settled().await;
    let mut bytes = seen.into_bytes();
    for key in stack.kv.keys("") {
        bytes.extend(stack.kv.raw(&key).unwrap());
    }
    assert!(stack.folder.path().join(LOG).exists());
    for entry in std::fs::read_dir(stack.folder.path()).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    for secret in [UPSTREAM_KEY, MANAGEMENT_TOKEN, token.as_str()] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{}... was found", &secret[..8]);
    }
}
