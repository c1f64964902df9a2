//! The words of a file, of a parameter, a caller and a wrong fix, and those of a step beside its action.

use super::kinds;
use super::{Group, Shape, Word};

/// The file itself.
pub(crate) static SCENARIO: Group = Group {
    name: "scenario",
    what: "a scenario",
    meaning: "A scenario: an outage scripted as steps, with what each step must show.",
    words: &[
        Word::new("title", Shape::One(kinds::LINE), "what happened, for listings and reports", "It is broken").required(),
        Word::new("description", Shape::One(kinds::TEXT), "the story in a paragraph", "What happens, and why."),
        Word::new(
            "kind",
            Shape::One(kinds::STORY),
            "`incident`: something breaks, and a fault without effect fails the run; `practice`: the right way to do it, \
             not one request may fail; `part`: made to be included by others",
            "incident",
        )
        .or("incident"),
        Word::new("tags", Shape::List(kinds::NAME), "words for `lab scenario list`", "[auth, gateway]"),
        Word::new(
            "difficulty",
            Shape::One(kinds::LEVEL),
            "`beginner`: one cause, in plain sight; `intermediate`: one has to look in more than one place; `advanced`: \
             what is seen first leads astray",
            "beginner",
        ),
        Word::new(
            "ticket",
            Shape::One(kinds::PARAGRAPH),
            "the incident as a customer would write it: what they see, not what is broken",
            "We cannot log in.",
        ),
        Word::new("symptom", Shape::One(kinds::PARAGRAPH), "what is seen of it, in a sentence", "All is 401."),
        Word::new(
            "hints",
            Shape::List(kinds::PARAGRAPH),
            "from vague to exact: each takes the reader one step further",
            "[Who is asking?]",
        ),
        Word::new("solution", Shape::One(kinds::PARAGRAPH), "what is broken, and how it is mended", "Start it again."),
        Word::new("lessons", Shape::List(kinds::PARAGRAPH), "what to learn from it", "[A rotation has two sides.]"),
        Word::new(
            "engines",
            Shape::List(kinds::ENGINE),
            "the engines that it is for; on another it is refused before anything starts",
            "[docker, embedded]",
        )
        .or_said("each that can do what the steps ask for"),
        Word::new(
            "parameters",
            Shape::Named(&PARAMETER),
            "values that may be changed without editing the file, used as `\"${name}\"`",
            "{ n: { default: 4000 } }",
        ),
        Word::new(
            "callers",
            Shape::Named(&CALLER),
            "who sends traffic, each with a key and a rate of its own; at most 20",
            "{ web: { rate: 30 }, batch: { rate: 10 } }",
        )
        .or_said("the lab's one caller"),
        Word::new(
            "steady_state",
            Shape::Steps,
            "steps that only look, and must hold before the first step and after the last",
            "[{ check: { path: /health } }]",
        ),
        Word::new("steps", Shape::Steps, "what happens, in order", "[{ wait: 10ms }]").required(),
        Word::new(
            "finally",
            Shape::Steps,
            "steps that come at the end in every case, before the undo",
            "[{ start: app }]",
        ),
        Word::new(
            "symptom_check",
            Shape::Steps,
            "steps that pass while it is broken, and at no other time",
            "[{ check: { path: /api/users, status: 401 } }]",
        ),
        Word::new(
            "resolved_check",
            Shape::Steps,
            "steps that pass once it is mended as it should be, and not while it is broken",
            "[{ check: { path: /api/users, status: 200 } }]",
        ),
        Word::new(
            "wrong_fixes",
            Shape::Mappings(&WRONG_FIX),
            "what somebody would try, and what does not mend it",
            "[{ name: restart, why: It is no help., steps: [{ stop: app }, { start: app }] }]",
        ),
    ],
    one_of: &[],
    apart: &[],
};

/// A parameter.
pub(crate) static PARAMETER: Group = Group {
    name: "parameter",
    what: "a parameter",
    meaning: "A value that may be changed without editing the file: `--set NAME=VALUE`, or `with` where it is included.",
    words: &[
        Word::new("default", Shape::One(kinds::ANY), "its value where none is given", "4000")
            .or_said("one must be given"),
        Word::new("short", Shape::One(kinds::ANY), "its value in a proof, which has to be quick", "1000")
            .or_said("the default"),
        Word::new("description", Shape::One(kinds::TEXT), "what it is", "how many requests are sent"),
        Word::new(
            "secret",
            Shape::One(kinds::TRUTH),
            "nobody is to read its value: it is shown as `***`; one line of at least 4 characters",
            "true",
        )
        .or("false"),
    ],
    one_of: &[],
    apart: &[],
};

/// A caller.
pub(crate) static CALLER: Group = Group {
    name: "caller",
    what: "a caller",
    meaning: "Somebody who sends traffic. Its name has at most 20 letters, digits, `-` and `_`.",
    words: &[
        Word::new("key", Shape::One(kinds::KEY), "what it sends as `X-API-Key` to begin with", "apikey-v1")
            .or_said("the server's, when the run begins"),
        Word::new("rate", Shape::One(kinds::RATE), "its requests a second", "30").or("20"),
        Word::new("connections", Shape::One(kinds::CONNECTIONS), "its connections", "4").or("1"),
    ],
    one_of: &[],
    apart: &[],
};

/// A wrong fix.
pub(crate) static WRONG_FIX: Group = Group {
    name: "wrong_fix",
    what: "a wrong fix",
    meaning: "What somebody would try, and what does not mend the incident; a proof tries it.",
    words: &[
        Word::new("name", Shape::One(kinds::NAME), "its name, unique in the file", "restart-the-app").required(),
        Word::new("why", Shape::One(kinds::PARAGRAPH), "why it is wrong", "The app is fine.").required(),
        Word::new("steps", Shape::Steps, "what is done", "[{ stop: app }, { start: app }]").required(),
    ],
    one_of: &[],
    apart: &[],
};

/// A step, beside its action.
pub(crate) static STEP: Group = Group {
    name: "step",
    what: "a step",
    meaning: "One thing that happens: exactly one action, and beside it these keys.",
    words: &[
        Word::new("name", Shape::One(kinds::NAME), "its name in the timeline, unique in the run", "look-again")
            .or_said("the action's, with `-2`, `-3` where that is taken"),
        Word::new("phase", Shape::One(kinds::PHASE), "which part of the story it is", "observe")
            .or_said("the action's, or that of its place in the story"),
        Word::new(
            "expect",
            Shape::Expect,
            "what must be seen: metrics, and what each must be",
            "{ requests.delta: \">= 0\" }",
        ),
        Word::new(
            "with",
            Shape::Map(kinds::ANY),
            "the parameters of the scenario that the step includes",
            "{ requests: 10 }",
        )
        .beside("scenario"),
    ],
    one_of: &[],
    apart: &[],
};
