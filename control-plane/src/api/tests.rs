use super::*;

/// The paths of the architecture page that this version serves.
const PATHS: [&str; 34] = [
    "/edge/events",
    "/livez",
    "/manage/audit",
    "/manage/dead-letters",
    "/manage/dead-letters/{id}",
    "/manage/dead-letters/{id}/replay",
    "/manage/events",
    "/manage/events/gaps",
    "/manage/events/set-aside",
    "/manage/events/status",
    "/manage/policy/check",
    "/manage/prices",
    "/manage/prices/{id}",
    "/manage/projects",
    "/manage/projects/{id}",
    "/manage/projects/{id}/credentials",
    "/manage/projects/{id}/credentials/{credential_id}",
    "/manage/projects/{id}/routes",
    "/manage/projects/{id}/routes/{route_id}",
    "/manage/projects/{id}/tokens/revoke",
    "/manage/providers",
    "/manage/providers/{name}",
    "/manage/sinks",
    "/manage/sinks/{id}",
    "/manage/sinks/{id}/test",
    "/manage/snapshot",
    "/manage/snapshot/publish",
    "/manage/tokens",
    "/manage/tokens/{id}",
    "/manage/tokens/{id}/events",
    "/manage/usage",
    "/metrics",
    "/openapi.json",
    "/readyz",
];

/// `routes!` routes and documents in one step, so what is documented is what is routed.
#[test]
fn every_path_is_documented() {
    let document = routes().into_openapi();
    let mut paths: Vec<&str> = document.paths.paths.keys().map(String::as_str).collect();
    paths.sort_unstable();
    assert_eq!(paths, PATHS);
}

#[test]
fn only_service_paths_are_open() {
    let document = serde_json::to_value(routes().into_openapi()).unwrap();
    assert_eq!(document["security"][0]["management_token"], serde_json::json!([]));
    assert_eq!(document["components"]["securitySchemes"]["management_token"]["scheme"], "bearer");
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let is_open = operation.get("security").is_some();
            assert_eq!(is_open, !path.starts_with("/manage/"), "{path}");
        }
    }
}
