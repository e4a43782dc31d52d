//! Header names, declared once.

/// On every refusal: the machine-readable code of the error table.
pub const ERROR: &str = "x-latchkey-error";
/// On every response of the edge: the id of the request's event, a `UUIDv7`.
pub const REQUEST_ID: &str = "x-latchkey-request-id";
/// On every response of the edge: `<snapshot version>;age=<seconds>`.
pub const SNAPSHOT: &str = "x-latchkey-snapshot";

/// Signed calls between edge and control plane: Unix seconds.
pub const CALL_TIME: &str = "x-latchkey-time";
/// Signed calls: a value never used twice within the window.
pub const CALL_NONCE: &str = "x-latchkey-nonce";
/// Signed calls: `v1;<key id>;<hex HMAC-SHA256>`.
pub const CALL_SIGNATURE: &str = "x-latchkey-signature";

/// Headers in which an SDK sends its key. All are removed before the
/// upstream's own credential is set.
pub const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// Request headers withheld from an upstream unless its provider allows them:
/// they would let a client spend on another account under the same key.
pub const ACCOUNT_SELECTORS: [&str; 2] = ["openai-organization", "openai-project"];

/// Headers that concern one connection only (RFC 9110, 7.6.1), with the
/// obsolete ones that are still seen.
pub const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers by which some servers let a client change the method that a proxy
/// has already judged.
pub const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];
