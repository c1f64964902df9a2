//! Keys of the file, of parameters, callers and steps.

use super::drill::{DIAGNOSIS, HINT, INJECT, OTHER_FIX, PAR, WRONG_FIX};
use super::kinds;
use super::{KeySpec, MappingSpec, Shape};

/// Top level of the file.
pub(crate) static SCENARIO: MappingSpec = MappingSpec {
    name: "scenario",
    label: "a scenario",
    description: "A scenario: an outage scripted as steps, with expectations for each step.",
    keys: &[
        KeySpec::new("title", Shape::Scalar(kinds::LINE), "summary for listings and reports", "It is broken")
            .required(),
        KeySpec::new(
            "description",
            Shape::Scalar(kinds::TEXT),
            "the incident in one paragraph",
            "What happens, and why.",
        ),
        KeySpec::new(
            "kind",
            Shape::Scalar(kinds::SCENARIO_KIND),
            "`incident`: something breaks, and a fault without effect fails the run; `practice`: the right procedure, \
             no request may fail; `part`: included by other scenarios",
            "incident",
        )
        .default_value("incident"),
        KeySpec::new("tags", Shape::ScalarList(kinds::NAME), "keywords for `lab scenario list`", "[auth, gateway]"),
        KeySpec::new(
            "difficulty",
            Shape::Scalar(kinds::DIFFICULTY),
            "`beginner`: a single, visible cause; `intermediate`: needs evidence from more than one place; \
             `advanced`: the first symptom is misleading",
            "beginner",
        ),
        KeySpec::new(
            "ticket",
            Shape::Scalar(kinds::PARAGRAPH),
            "the incident in the words of a customer: symptoms, not causes",
            "We cannot log in.",
        ),
        KeySpec::new("symptom", Shape::Scalar(kinds::PARAGRAPH), "the visible effect, in one sentence", "All is 401."),
        KeySpec::new(
            "diagnosis",
            Shape::Mapping(&DIAGNOSIS),
            "the right answer in a drill",
            "{ where: gateway, what: timeout too short }",
        ),
        KeySpec::new("par", Shape::Mapping(&PAR), "expected times in a drill", "{ detect: 45s, resolve: 7m }")
            .default_described("times for its difficulty"),
        KeySpec::new(
            "hints",
            Shape::ScalarOrMappingList(kinds::PARAGRAPH, &HINT),
            "hints from vague to specific, each one step further",
            "[Who is asking?, { about: The response, text: Read it., cost: 15 }]",
        ),
        KeySpec::new(
            "injects",
            Shape::MappingList(&INJECT),
            "messages during a drill, at most 20",
            "[{ at: 5m, from: a manager, text: Any news? }]",
        )
        .default_described(
            "the ticket, a support lead when an update is overdue, a manager after 5m, and the customer after the \
             mitigation",
        ),
        KeySpec::new("solution", Shape::Scalar(kinds::PARAGRAPH), "the cause and the fix", "Start it again."),
        KeySpec::new("lessons", Shape::ScalarList(kinds::PARAGRAPH), "lessons learned", "[A rotation has two sides.]"),
        KeySpec::new(
            "engines",
            Shape::ScalarList(kinds::ENGINE),
            "the engines that it may run on; others are refused before anything starts",
            "[docker, embedded]",
        )
        .default_described("every engine that supports the steps"),
        KeySpec::new(
            "parameters",
            Shape::NamedMappings(&PARAMETER),
            "values that can be changed without editing the file, used as `\"${name}\"`",
            "{ n: { default: 4000 } }",
        ),
        KeySpec::new(
            "callers",
            Shape::NamedMappings(&CALLER),
            "senders of traffic, each with its own key and rate; at most 20",
            "{ web: { rate: 30 }, batch: { rate: 10 } }",
        )
        .default_described("the lab's single caller"),
        KeySpec::new(
            "steady_state",
            Shape::Steps,
            "read-only steps that must pass before the first step and after the last",
            "[{ check: { path: /health } }]",
        ),
        KeySpec::new("steps", Shape::Steps, "the steps, in order", "[{ wait: 10ms }]").required(),
        KeySpec::new("finally", Shape::Steps, "steps that always run at the end, before the undo", "[{ start: app }]"),
        KeySpec::new(
            "symptom_check",
            Shape::Steps,
            "steps that pass only while the fault is active",
            "[{ check: { path: /api/users, status: 401 } }]",
        ),
        KeySpec::new(
            "resolved_check",
            Shape::Steps,
            "steps that pass once the incident is fixed, and fail while the fault is active",
            "[{ check: { path: /api/users, status: 200 } }]",
        ),
        KeySpec::new(
            "wrong_fixes",
            Shape::MappingList(&WRONG_FIX),
            "plausible attempts that do not fix the incident",
            "[{ name: restart, why: It is no help., steps: [{ stop: app }, { start: app }] }]",
        ),
        KeySpec::new(
            "other_fixes",
            Shape::MappingList(&OTHER_FIX),
            "legitimate fixes other than the steps of the phase `remedy`",
            "[{ name: start-it, steps: [{ start: app }] }]",
        ),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(crate) static PARAMETER: MappingSpec = MappingSpec {
    name: "parameter",
    label: "a parameter",
    description: "A value that can be changed without editing the file: with `--set NAME=VALUE`, or with `with` in an \
     include.",
    keys: &[
        KeySpec::new("default", Shape::Scalar(kinds::ANY), "the default value", "4000")
            .default_described("a value is required"),
        KeySpec::new("short", Shape::Scalar(kinds::ANY), "the default in a proof, which has to be quick", "1000")
            .default_described("the default"),
        KeySpec::new("description", Shape::Scalar(kinds::TEXT), "its meaning", "how many requests are sent"),
        KeySpec::new(
            "secret",
            Shape::Scalar(kinds::BOOL),
            "whether to show the value as `***`; it must be one line of at least 4 characters",
            "true",
        )
        .default_value("false"),
        KeySpec::new(
            "vary",
            Shape::ChoiceOrList(kinds::VARY, kinds::ANY),
            "its value in a drill: a new key (`key`), or one of these values",
            "[10, 20, 30]",
        )
        .default_described("the same in every drill"),
        KeySpec::new(
            "vary_with",
            Shape::Scalar(kinds::PARAMETER),
            "another parameter whose drawn position in its list is used here too",
            "other",
        )
        .requires("vary")
        .default_described("drawn independently"),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(crate) static CALLER: MappingSpec = MappingSpec {
    name: "caller",
    label: "a caller",
    description: "A sender of traffic. Its name has at most 20 letters, digits, `-` and `_`.",
    keys: &[
        KeySpec::new("key", Shape::Scalar(kinds::KEY), "its `X-API-Key` at the start of the run", "apikey-v1")
            .default_described("the server's key at that time"),
        KeySpec::new("rate", Shape::Scalar(kinds::RATE), "its requests per second", "30").default_value("20"),
        KeySpec::new("connections", Shape::Scalar(kinds::CONNECTIONS), "number of its connections", "4")
            .default_value("1"),
        KeySpec::new("path", Shape::Scalar(kinds::PATH), "path and query of its requests", "/api/report")
            .default_value("/api/users"),
        KeySpec::new("timeout", Shape::Scalar(kinds::TIMEOUT), "its timeout, for each attempt", "400ms")
            .default_value("3s"),
        KeySpec::new(
            "retries",
            Shape::Scalar(kinds::RETRIES),
            "how often it repeats a failed request: after a timeout, a connection error, or status 429, 502, 503 or 504",
            "3",
        )
        .default_value("0"),
        KeySpec::new("backoff", Shape::Scalar(kinds::BACKOFF), "its wait before each retry", "200ms")
            .default_value("0s")
            .requires("retries"),
        KeySpec::new(
            "jitter",
            Shape::Scalar(kinds::BOOL),
            "whether it waits for a random part of the backoff instead of all of it",
            "true",
        )
        .default_value("false")
        .requires("backoff"),
        KeySpec::new(
            "heed_retry_after",
            Shape::Scalar(kinds::BOOL),
            "whether it waits at least as many seconds as the response's `Retry-After` header says",
            "true",
        )
        .default_value("false")
        .requires("retries"),
    ],
    one_of: &[],
    exclusive: &[],
};

/// Keys of a step other than its action.
pub(crate) static STEP: MappingSpec = MappingSpec {
    name: "step",
    label: "a step",
    description: "A step has exactly one action, and may have these keys:",
    keys: &[
        KeySpec::new("name", Shape::Scalar(kinds::NAME), "name in the timeline, unique in the run", "look-again")
            .default_described("the action's name, with `-2`, `-3` if it is in use"),
        KeySpec::new("phase", Shape::Scalar(kinds::PHASE), "phase of the incident", "observe")
            .default_described("derived from the action or the preceding step"),
        KeySpec::new("expect", Shape::Expect, "expected metrics", "{ requests.delta: \">= 0\" }"),
        KeySpec::new("with", Shape::ScalarMap(kinds::ANY), "parameters of the included scenario", "{ requests: 10 }")
            .requires("scenario"),
    ],
    one_of: &[],
    exclusive: &[],
};
