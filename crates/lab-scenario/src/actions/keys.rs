//! Keys that several actions share.

use crate::schema::{KeySpec, Shape, kinds};

pub(super) const CALLERS: KeySpec =
    KeySpec::new("callers", Shape::ScalarOrList(kinds::CALLER), "which callers of the scenario", "[web]")
        .default_described("all");
pub(super) const RATE: KeySpec =
    KeySpec::new("rate", Shape::Scalar(kinds::RATE), "requests per second, over all callers", "100")
        .default_described("20; with `callers`, the sum of their rates");
pub(super) const CONNECTIONS: KeySpec = KeySpec::new(
    "connections",
    Shape::Scalar(kinds::CONNECTIONS),
    "number of connections, each with one request in flight",
    "4",
)
.default_described("1; with `callers`, their own");
pub(super) const PATH: KeySpec =
    KeySpec::new("path", Shape::Scalar(kinds::PATH), "path and query of the request", "/api/users");
pub(super) const METHOD: KeySpec =
    KeySpec::new("method", Shape::Scalar(kinds::METHOD), "HTTP method", "GET").default_value("GET");
pub(super) const HEADERS: KeySpec = KeySpec::new(
    "headers",
    Shape::ScalarMap(kinds::HEADER),
    "headers in addition to `X-API-Key`",
    "{ Accept: application/json }",
);
pub(super) const KEY: KeySpec =
    KeySpec::new("key", Shape::Scalar(kinds::SENT_KEY), "value of `X-API-Key`", "apikey-v1")
        .default_described("the caller's");
pub(super) const TIMEOUT: KeySpec =
    KeySpec::new("timeout", Shape::Scalar(kinds::TIMEOUT), "timeout of a request", "1s").default_value("3s");
pub(super) const CALLER: KeySpec =
    KeySpec::new("caller", Shape::Scalar(kinds::CALLER), "the caller whose key is sent", "web")
        .default_described("the scenario's first caller");
pub(super) const STATUS: KeySpec =
    KeySpec::new("status", Shape::Scalar(kinds::STATUS), "the expected status", "401").default_value("200");
pub(super) const BODY: KeySpec =
    KeySpec::new("body", Shape::Scalar(kinds::BODY), "text that the response body must contain", "unauthorized");

/// Keys of an action that sends traffic: its own, then those of the load.
macro_rules! load {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            $crate::actions::keys::CALLERS,
            $crate::actions::keys::RATE,
            $crate::actions::keys::CONNECTIONS,
            $crate::actions::keys::PATH.default_described("`/api/users`; with `callers`, their own"),
            $crate::actions::keys::METHOD,
            $crate::actions::keys::HEADERS,
            $crate::actions::keys::KEY,
            $crate::actions::keys::TIMEOUT.default_described("3s; with `callers`, their own"),
        ]
    };
}
pub(super) use load;
