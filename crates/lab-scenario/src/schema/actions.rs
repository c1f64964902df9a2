//! Actions: the key of a step that selects what it does, and the keys of its value.

use super::kinds;
use super::{KeySpec, MappingSpec, Shape};

/// All actions, in the order of the reference.
pub(crate) static ACTIONS: &[KeySpec] = &[
    KeySpec::new(
        "traffic",
        Shape::Mapping(&TRAFFIC),
        "sends requests through the gateway",
        "{ requests: 40, rate: 20 }",
    ),
    KeySpec::new(
        "background",
        Shape::Mapping(&BACKGROUND),
        "sends requests while the following steps run; give the step a `name`",
        "{ rate: 10 }",
    ),
    KeySpec::new(
        "stop_background",
        Shape::Scalar(kinds::BACKGROUND),
        "ends the background traffic of the step with this name",
        "users",
    ),
    KeySpec::new(
        "rotate_key",
        Shape::Mapping(&ROTATE_KEY),
        "makes the server expect, or callers send, another key",
        "{ server: apikey-v2 }",
    ),
    KeySpec::new(
        "align_key",
        Shape::Mapping(&ALIGN_KEY),
        "makes callers send the key that the server expects",
        "{ caller: server }",
    ),
    KeySpec::new(
        "set_env",
        Shape::Mapping(&SET_ENV),
        "redeploys a service with changed environment variables",
        "{ service: app, env: { APP_DB_POOL: 2 } }",
    ),
    KeySpec::new("stop", Shape::Scalar(kinds::SERVICE), "stops a service gracefully, letting requests finish", "app"),
    KeySpec::new("start", Shape::Scalar(kinds::SERVICE), "starts a stopped or killed service", "app"),
    KeySpec::new("kill", Shape::Scalar(kinds::SERVICE), "kills a service immediately", "app"),
    KeySpec::new(
        "pause",
        Shape::Scalar(kinds::SERVICE),
        "freezes a service: connections stay open, but nothing answers",
        "db",
    ),
    KeySpec::new("unpause", Shape::Scalar(kinds::SERVICE), "resumes a frozen service", "db"),
    KeySpec::new("wait", Shape::Scalar(kinds::STEP_DURATION), "waits for a fixed time", "500ms"),
    KeySpec::new(
        "wait_for",
        Shape::Mapping(&WAIT_FOR),
        "waits for a condition, and fails at the deadline",
        "{ path: /health, timeout: 10s }",
    ),
    KeySpec::new(
        "check",
        Shape::Mapping(&CHECK),
        "sends one request through the gateway and checks the response",
        "{ path: /health }",
    ),
    KeySpec::new(
        "run",
        Shape::Mapping(&RUN),
        "runs a command on this machine; requires `--allow-commands`",
        "{ command: [echo, hello] }",
    ),
    KeySpec::new(
        "scenario",
        Shape::Scalar(kinds::SCENARIO),
        "includes the steps of another scenario, from the same folder or else from the library",
        "baseline",
    ),
];

const CALLERS: KeySpec =
    KeySpec::new("callers", Shape::ScalarOrList(kinds::CALLER), "which callers of the scenario", "[web]")
        .default_described("all");
const RATE: KeySpec = KeySpec::new("rate", Shape::Scalar(kinds::RATE), "requests per second, over all callers", "100")
    .default_described("20; with `callers`, the sum of their rates");
const CONNECTIONS: KeySpec = KeySpec::new(
    "connections",
    Shape::Scalar(kinds::CONNECTIONS),
    "number of connections, each with one request in flight",
    "4",
)
.default_described("1; with `callers`, their own");
const PATH: KeySpec = KeySpec::new("path", Shape::Scalar(kinds::PATH), "path and query of the request", "/api/users");
const METHOD: KeySpec = KeySpec::new("method", Shape::Scalar(kinds::METHOD), "HTTP method", "GET").default_value("GET");
const HEADERS: KeySpec = KeySpec::new(
    "headers",
    Shape::ScalarMap(kinds::HEADER),
    "headers in addition to `X-API-Key`",
    "{ Accept: application/json }",
);
const KEY: KeySpec = KeySpec::new("key", Shape::Scalar(kinds::SENT_KEY), "value of `X-API-Key`", "apikey-v1")
    .default_described("the caller's");
const TIMEOUT: KeySpec =
    KeySpec::new("timeout", Shape::Scalar(kinds::TIMEOUT), "timeout of a request", "1s").default_value("3s");
const CALLER: KeySpec = KeySpec::new("caller", Shape::Scalar(kinds::CALLER), "the caller whose key is sent", "web")
    .default_described("the scenario's first caller");
const STATUS: KeySpec =
    KeySpec::new("status", Shape::Scalar(kinds::STATUS), "the expected status", "401").default_value("200");
const BODY: KeySpec =
    KeySpec::new("body", Shape::Scalar(kinds::BODY), "text that the response body must contain", "unauthorized");

static TRAFFIC: MappingSpec = MappingSpec {
    name: "traffic",
    label: "`traffic`",
    description: "Sends requests through the gateway.",
    keys: &[
        KeySpec::new("requests", Shape::Scalar(kinds::REQUESTS), "number of requests, over all callers", "10")
            .default_value("40"),
        KeySpec::new("duration", Shape::Scalar(kinds::STEP_DURATION), "alternatively, how long to send", "5s"),
        CALLERS,
        RATE,
        CONNECTIONS,
        PATH.default_value("/api/users"),
        METHOD,
        HEADERS,
        KEY,
        TIMEOUT,
    ],
    one_of: &[],
    exclusive: &[("requests", "duration")],
};

static BACKGROUND: MappingSpec = MappingSpec {
    name: "background",
    label: "`background`",
    description: "Sends requests while the following steps run, until `stop_background` names this step or the run \
     ends.",
    keys: &[CALLERS, RATE, CONNECTIONS, PATH.default_value("/api/users"), METHOD, HEADERS, KEY, TIMEOUT],
    one_of: &[],
    exclusive: &[],
};

static ROTATE_KEY: MappingSpec = MappingSpec {
    name: "rotate_key",
    label: "`rotate_key`",
    description: "Makes the server expect another key, which redeploys the app, or makes callers send another one.",
    keys: &[
        KeySpec::new("server", Shape::Scalar(kinds::KEY), "the new key of the server", "apikey-v2"),
        KeySpec::new("caller", Shape::Scalar(kinds::KEY), "alternatively, the new key of the callers", "apikey-v3"),
        CALLERS.requires("caller"),
    ],
    one_of: &["server", "caller"],
    exclusive: &[],
};

static ALIGN_KEY: MappingSpec = MappingSpec {
    name: "align_key",
    label: "`align_key`",
    description: "Makes callers send the key that the server expects.",
    keys: &[
        KeySpec::new("caller", Shape::Scalar(kinds::SERVER), "the source of the key", "server").required(),
        CALLERS,
    ],
    one_of: &[],
    exclusive: &[],
};

static SET_ENV: MappingSpec = MappingSpec {
    name: "set_env",
    label: "`set_env`",
    description: "Redeploys a service with changed environment variables. Variables that reach outside the lab are \
     rejected.",
    keys: &[
        KeySpec::new("service", Shape::Scalar(kinds::SERVICE), "the service", "app").required(),
        KeySpec::new(
            "env",
            Shape::NullableMap(kinds::ENV),
            "variables and their values; `null` removes a variable",
            "{ APP_DB_POOL: 2, APP_RATE_LIMIT: null }",
        )
        .required(),
        KeySpec::new(
            "rolled_back",
            Shape::Scalar(kinds::BOOL),
            "whether the new version is expected to stay unhealthy, so that the old one keeps serving",
            "true",
        )
        .default_value("false"),
    ],
    one_of: &[],
    exclusive: &[],
};

static WAIT_FOR: MappingSpec = MappingSpec {
    name: "wait_for",
    label: "`wait_for`",
    description: "Waits for a condition. The step fails if the deadline passes first.",
    keys: &[
        KeySpec::new(
            "metrics",
            Shape::ExpectDeltas,
            "growth of the app's counters since the start of the step; all must match",
            "{ auth_failures.delta: \"> 5\" }",
        ),
        KeySpec::new(
            "path",
            Shape::Scalar(kinds::PATH),
            "alternatively, a request with the expected response",
            "/health",
        ),
        METHOD.requires("path"),
        HEADERS.requires("path"),
        CALLER.requires("path"),
        KEY.requires("path"),
        STATUS.requires("path"),
        BODY.requires("path"),
        KeySpec::new(
            "query",
            Shape::Scalar(kinds::QUERY),
            "alternatively, a query to the lab's Prometheus that returns a series",
            "\"sum(rate(app_auth_failures_total[1m]))\"",
        ),
        KeySpec::new("is", Shape::Scalar(kinds::THRESHOLD), "expected value of at least one series", "\"> 0.5\"")
            .requires("query")
            .default_described("any value"),
        KeySpec::new(
            "alert",
            Shape::Scalar(kinds::ALERT),
            "alternatively, an alert of the stack's rules",
            "AuthFailureRatioHigh",
        ),
        KeySpec::new(
            "state",
            Shape::Scalar(kinds::ALERT_STATE),
            "expected state: pending or firing, firing, or resolved after it fired",
            "firing",
        )
        .requires("alert")
        .default_value("firing"),
        KeySpec::new("within", Shape::Scalar(kinds::STEP_DURATION), "the deadline for the alert", "60s")
            .requires("alert")
            .default_value("60s"),
        KeySpec::new("timeout", Shape::Scalar(kinds::STEP_DURATION), "the deadline", "10s")
            .default_described("30s; `within` for alerts"),
        KeySpec::new(
            "every",
            Shape::Scalar(kinds::EVERY),
            "polling interval; one last check happens at the deadline",
            "200ms",
        )
        .default_value("500ms"),
    ],
    one_of: &["metrics", "path", "query", "alert"],
    exclusive: &[("caller", "key"), ("timeout", "within")],
};

static CHECK: MappingSpec = MappingSpec {
    name: "check",
    label: "`check`",
    description: "Sends one request through the gateway and checks the response.",
    keys: &[PATH.required(), METHOD, HEADERS, CALLER, KEY, STATUS, BODY, TIMEOUT],
    one_of: &[],
    exclusive: &[("caller", "key")],
};

static RUN: MappingSpec = MappingSpec {
    name: "run",
    label: "`run`",
    description: "Runs a command on this machine. Requires `lab scenario run --allow-commands`.",
    keys: &[
        KeySpec::new(
            "command",
            Shape::ScalarOrList(kinds::PROGRAM),
            "the program and its arguments; no shell is involved",
            "[echo, hello]",
        )
        .required(),
        KeySpec::new("timeout", Shape::Scalar(kinds::STEP_DURATION), "timeout of the command", "30s")
            .default_value("1m"),
        KeySpec::new(
            "env",
            Shape::ScalarMap(kinds::ENV),
            "variables in addition to the environment of `lab`",
            "{ REGION: eu }",
        ),
        KeySpec::new("exit_code", Shape::Scalar(kinds::EXIT_CODE), "the expected exit code", "1").default_value("0"),
    ],
    one_of: &[],
    exclusive: &[],
};
