//! Keys for drills: the diagnosis, par times, hints and injects; and the fixes that people may try.

use super::kinds;
use super::{KeySpec, MappingSpec, Shape};

pub(crate) static DIAGNOSIS: MappingSpec = MappingSpec {
    name: "diagnosis",
    label: "a diagnosis",
    description: "The right answer of a drill, from two lists that are the same in every drill. It names what must be \
     fixed first.",
    keys: &[
        KeySpec::new("where", Shape::Scalar(kinds::LOCATION), "the part of the system", "gateway").required(),
        KeySpec::new("what", Shape::Scalar(kinds::CAUSE), "what is wrong with it", "timeout too short").required(),
        KeySpec::new(
            "also",
            Shape::Mapping(&SECOND_FAULT),
            "the second fault, if the incident has two",
            "{ where: account, what: has expired }",
        ),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(crate) static SECOND_FAULT: MappingSpec = MappingSpec {
    name: "second_fault",
    label: "a second fault",
    description: "The second fault of an incident that has two.",
    keys: &[
        KeySpec::new("where", Shape::Scalar(kinds::LOCATION), "the part of the system", "account").required(),
        KeySpec::new("what", Shape::Scalar(kinds::CAUSE), "what is wrong with it", "has expired").required(),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(crate) static PAR: MappingSpec = MappingSpec {
    name: "par",
    label: "par times",
    description: "Times in which an experienced person reaches each phase of a drill, from the first failed request. \
     Unstated times depend on the `difficulty`.",
    keys: &[
        KeySpec::new("detect", Shape::Scalar(kinds::STEP_DURATION), "time to notice the incident", "45s")
            .default_described("60s; intermediate 90s, advanced 120s"),
        KeySpec::new(
            "mitigate",
            Shape::Scalar(kinds::STEP_DURATION),
            "time until callers get through again; at least `detect`",
            "4m",
        )
        .default_described("5m; intermediate 7.5m, advanced 10m"),
        KeySpec::new(
            "resolve",
            Shape::Scalar(kinds::STEP_DURATION),
            "time until the resolved check passes; at least `mitigate`",
            "7m",
        )
        .default_described("8m; intermediate 12m, advanced 16m"),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(crate) static HINT: MappingSpec = MappingSpec {
    name: "hint",
    label: "a hint",
    description: "A hint with a price. In a drill, `about` and the price are shown before the hint is opened.",
    keys: &[
        KeySpec::new("text", Shape::Scalar(kinds::PARAGRAPH), "the hint", "Who is asking?").required(),
        KeySpec::new("about", Shape::Scalar(kinds::LINE), "its subject, without giving it away", "The response")
            .default_described("`Hint 1`, `Hint 2`, …"),
        KeySpec::new("cost", Shape::Scalar(kinds::PERCENT), "its price in percent", "15")
            .default_described("10, 20, then 30 for every later hint"),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(crate) static INJECT: MappingSpec = MappingSpec {
    name: "inject",
    label: "an inject",
    description: "A message that arrives during a drill.",
    keys: &[
        KeySpec::new("at", Shape::Scalar(kinds::DELAY), "time after the event, on the drill's clock", "60s").required(),
        KeySpec::new(
            "after",
            Shape::Scalar(kinds::TRIGGER),
            "`impact`: the first failed request; `mitigated`: callers get through again; `resolved`: the incident is \
             fixed; `overdue`: an update did not come in time",
            "mitigated",
        )
        .default_value("impact"),
        KeySpec::new("from", Shape::Scalar(kinds::SENDER), "the sender", "the head of sales")
            .default_value("the customer"),
        KeySpec::new("text", Shape::Scalar(kinds::PARAGRAPH), "the message", "Any news?")
            .default_described("the ticket"),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(crate) static WRONG_FIX: MappingSpec = MappingSpec {
    name: "wrong_fix",
    label: "a wrong fix",
    description: "A plausible attempt that does not fix the incident. `lab scenario prove` executes it, and a drill \
     recognises it by its changes.",
    keys: &[
        KeySpec::new("name", Shape::Scalar(kinds::NAME), "its name, unique in the file", "restart-the-app").required(),
        KeySpec::new("why", Shape::Scalar(kinds::PARAGRAPH), "why it does not help", "The app is fine.").required(),
        KeySpec::new("steps", Shape::Steps, "the steps of the attempt", "[{ stop: app }, { start: app }]").required(),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(crate) static OTHER_FIX: MappingSpec = MappingSpec {
    name: "other_fix",
    label: "another fix",
    description: "A legitimate fix other than the scenario's own. `lab scenario prove` executes it, and the resolved \
     check must pass after it.",
    keys: &[
        KeySpec::new("name", Shape::Scalar(kinds::NAME), "its name, unique in the file", "raise-the-limit").required(),
        KeySpec::new("steps", Shape::Steps, "the steps of the fix", "[{ start: app }]").required(),
    ],
    one_of: &[],
    exclusive: &[],
};
