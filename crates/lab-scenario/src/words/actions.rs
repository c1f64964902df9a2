//! The actions: the one key of a step that says what happens, and the words of its value.

use super::kinds;
use super::{Group, Shape, Word};

/// Every action, in the order in which the documents describe them.
pub(crate) static ACTIONS: &[Word] = &[
    Word::new(
        "traffic",
        Shape::Mapping(&TRAFFIC),
        "requests through the gateway, as callers send them",
        "{ requests: 40, rate: 20 }",
    ),
    Word::new(
        "background",
        Shape::Mapping(&BACKGROUND),
        "traffic that goes on while the steps after it happen; give the step a `name`",
        "{ rate: 10 }",
    ),
    Word::new(
        "stop_background",
        Shape::One(kinds::BACKGROUND),
        "ends the traffic that the step of this name began",
        "users",
    ),
    Word::new(
        "rotate_key",
        Shape::Mapping(&ROTATE_KEY),
        "the server expects another key, or callers send one",
        "{ server: apikey-v2 }",
    ),
    Word::new(
        "align_key",
        Shape::Mapping(&ALIGN_KEY),
        "callers send the key that the server expects",
        "{ caller: server }",
    ),
    Word::new(
        "set_env",
        Shape::Mapping(&SET_ENV),
        "redeploys a service with other environment variables",
        "{ service: app, env: { APP_DB_POOL: 2 } }",
    ),
    Word::new("stop", Shape::One(kinds::SERVICE), "stops a service, which lets requests finish", "app"),
    Word::new("start", Shape::One(kinds::SERVICE), "starts a service again", "app"),
    Word::new("kill", Shape::One(kinds::SERVICE), "kills a service, in the middle of whatever it does", "app"),
    Word::new("pause", Shape::One(kinds::SERVICE), "freezes a service: it holds its sockets and answers nothing", "db"),
    Word::new("unpause", Shape::One(kinds::SERVICE), "lets a frozen service go on", "db"),
    Word::new("wait", Shape::One(kinds::SPAN), "nothing, for a while", "500ms"),
    Word::new(
        "wait_for",
        Shape::Mapping(&WAIT_FOR),
        "waits until something is so, or fails at a deadline",
        "{ path: /health, timeout: 10s }",
    ),
    Word::new(
        "check",
        Shape::Mapping(&CHECK),
        "one request through the gateway, whose answer must be as stated",
        "{ path: /health }",
    ),
    Word::new(
        "run",
        Shape::Mapping(&RUN),
        "a command of your own, on this machine; only with `--allow-commands`",
        "{ command: [echo, hello] }",
    ),
    Word::new(
        "scenario",
        Shape::One(kinds::SCENARIO),
        "the steps of another scenario: of the file beside this one, else of the library",
        "baseline",
    ),
];

const CALLERS: Word = Word::new("callers", Shape::OneOrMore(kinds::CALLER), "which of the scenario's callers", "[web]")
    .or_said("all of them");
const RATE: Word = Word::new("rate", Shape::One(kinds::RATE), "requests a second, of all callers together", "100")
    .or_said("20; of several callers, the sum of theirs");
const CONNECTIONS: Word =
    Word::new("connections", Shape::One(kinds::CONNECTIONS), "connections, each with one request in flight", "4")
        .or_said("1; of a caller with a name, its own");
const PATH: Word = Word::new("path", Shape::One(kinds::PATH), "what is asked for", "/api/users");
const METHOD: Word = Word::new("method", Shape::One(kinds::METHOD), "how it is asked for", "GET").or("GET");
const HEADERS: Word =
    Word::new("headers", Shape::Map(kinds::HEADER), "sent beside `X-API-Key`", "{ Accept: application/json }");
const KEY: Word =
    Word::new("key", Shape::One(kinds::SENT_KEY), "sent as `X-API-Key`", "apikey-v1").or_said("the caller's");
const TIMEOUT: Word = Word::new("timeout", Shape::One(kinds::TIMEOUT), "how long to wait for an answer", "1s").or("3s");
const CALLER: Word = Word::new("caller", Shape::One(kinds::CALLER), "or the caller whose key is sent", "web")
    .or_said("the first of the scenario's callers");
const STATUS: Word =
    Word::new("status", Shape::One(kinds::STATUS), "the status that the answer must have", "401").or("200");
const BODY: Word =
    Word::new("body", Shape::One(kinds::BODY), "text that the answer's body must contain", "unauthorized");

static TRAFFIC: Group = Group {
    name: "traffic",
    what: "`traffic`",
    meaning: "Requests through the gateway, as callers send them.",
    words: &[
        Word::new("requests", Shape::One(kinds::REQUESTS), "how many, of all callers together", "10").or("40"),
        Word::new("duration", Shape::One(kinds::SPAN), "or for how long", "5s"),
        CALLERS,
        RATE,
        CONNECTIONS,
        PATH.or("/api/users"),
        METHOD,
        HEADERS,
        KEY,
        TIMEOUT,
    ],
    one_of: &[],
    apart: &[("requests", "duration")],
};

static BACKGROUND: Group = Group {
    name: "background",
    what: "`background`",
    meaning: "Traffic that goes on while the steps after it happen, until `stop_background` names its step, or until the end.",
    words: &[CALLERS, RATE, CONNECTIONS, PATH.or("/api/users"), METHOD, HEADERS, KEY, TIMEOUT],
    one_of: &[],
    apart: &[],
};

static ROTATE_KEY: Group = Group {
    name: "rotate_key",
    what: "`rotate_key`",
    meaning: "The server expects another key, which redeploys the app; or callers send another.",
    words: &[
        Word::new("server", Shape::One(kinds::KEY), "the key that the server is to expect", "apikey-v2"),
        Word::new("caller", Shape::One(kinds::KEY), "or the key that callers are to send", "apikey-v3"),
        CALLERS.beside("caller"),
    ],
    one_of: &["server", "caller"],
    apart: &[],
};

static ALIGN_KEY: Group = Group {
    name: "align_key",
    what: "`align_key`",
    meaning: "Callers send the key that the server expects.",
    words: &[
        Word::new("caller", Shape::One(kinds::SERVER), "whose key the callers are given", "server").required(),
        CALLERS,
    ],
    one_of: &[],
    apart: &[],
};

static SET_ENV: Group = Group {
    name: "set_env",
    what: "`set_env`",
    meaning: "Redeploys a service with other environment variables, as far as they stay inside the lab.",
    words: &[
        Word::new("service", Shape::One(kinds::SERVICE), "which service", "app").required(),
        Word::new(
            "env",
            Shape::MapOrNull(kinds::ENV),
            "variables and their values; `null` takes one away",
            "{ APP_DB_POOL: 2, APP_RATE_LIMIT: null }",
        )
        .required(),
        Word::new(
            "rolled_back",
            Shape::One(kinds::TRUTH),
            "whether it must not become well with it, and the old one serve on",
            "true",
        )
        .or("false"),
    ],
    one_of: &[],
    apart: &[],
};

static WAIT_FOR: Group = Group {
    name: "wait_for",
    what: "`wait_for`",
    meaning: "Waits until something is so; where the deadline passes before, the step has failed.",
    words: &[
        Word::new(
            "metrics",
            Shape::ExpectDeltas,
            "until the app's counters have grown so since the step began, all of these together",
            "{ auth_failures.delta: \"> 5\" }",
        ),
        Word::new("path", Shape::One(kinds::PATH), "or until a request is answered as stated", "/health"),
        METHOD.beside("path"),
        HEADERS.beside("path"),
        CALLER.beside("path"),
        KEY.beside("path"),
        STATUS.beside("path"),
        BODY.beside("path"),
        Word::new(
            "query",
            Shape::One(kinds::QUERY),
            "or until a query to the lab's Prometheus has an answer",
            "\"sum(rate(app_auth_failures_total[1m]))\"",
        ),
        Word::new("is", Shape::One(kinds::THRESHOLD), "what one of the query's series must be", "\"> 0.5\"")
            .beside("query")
            .or_said("any value"),
        Word::new(
            "alert",
            Shape::One(kinds::ALERT),
            "or until an alert of the stack's rules is so",
            "AuthFailureRatioHigh",
        ),
        Word::new(
            "state",
            Shape::One(kinds::ALERT_STATE),
            "what the alert must be: pending or more, firing, or no longer firing after it did",
            "firing",
        )
        .beside("alert")
        .or("firing"),
        Word::new("within", Shape::One(kinds::SPAN), "the deadline for the alert", "60s").beside("alert").or("60s"),
        Word::new("timeout", Shape::One(kinds::SPAN), "the deadline", "10s").or_said("30s; for an alert, `within`"),
        Word::new("every", Shape::One(kinds::EVERY), "how often is looked; once more at the deadline", "200ms")
            .or("500ms"),
    ],
    one_of: &["metrics", "path", "query", "alert"],
    apart: &[("caller", "key"), ("timeout", "within")],
};

static CHECK: Group = Group {
    name: "check",
    what: "`check`",
    meaning: "One request through the gateway, whose answer must be as stated.",
    words: &[PATH.required(), METHOD, HEADERS, CALLER, KEY, STATUS, BODY, TIMEOUT],
    one_of: &[],
    apart: &[("caller", "key")],
};

static RUN: Group = Group {
    name: "run",
    what: "`run`",
    meaning: "A command of your own, on this machine; only with `lab scenario run --allow-commands`.",
    words: &[
        Word::new(
            "command",
            Shape::OneOrMore(kinds::PROGRAM),
            "the program, then its arguments: a list, which no shell reads",
            "[echo, hello]",
        )
        .required(),
        Word::new("timeout", Shape::One(kinds::SPAN), "how long it may take", "30s").or("1m"),
        Word::new("env", Shape::Map(kinds::ENV), "beside the environment of `lab` itself", "{ REGION: eu }"),
        Word::new("exit_code", Shape::One(kinds::EXIT_CODE), "how it must end", "1").or("0"),
    ],
    one_of: &[],
    apart: &[],
};
