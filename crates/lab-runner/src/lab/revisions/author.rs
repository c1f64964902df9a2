//! [`Author`] of a change.

use super::short_id;
use serde::{Deserialize, Serialize};

/// Maximum length of a user name in a revision, in characters.
const USER_LENGTH: usize = 40;

/// Author of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Author {
    /// `lab up`, or the start of a temporary lab.
    Up,
    /// The state was found when the first change was recorded, in a lab of an older version.
    Found,
    /// A person.
    Hand {
        /// Name of the user, if known.
        user: Option<String>,
        /// Command, such as `lab env set`.
        command: String,
    },
    /// A run of a scenario.
    Run {
        /// Id of the run.
        run: String,
    },
    /// The undo of a run's changes, at its end or by `lab recover`.
    Undo {
        /// Id of the run.
        run: String,
    },
    /// A drill.
    Drill {
        /// Id of the drill.
        drill: String,
    },
    /// The restore after a drill.
    DrillEnd {
        /// Id of the drill.
        drill: String,
    },
    /// `lab reset`.
    Reset,
}

impl Author {
    /// The user of this process, with the command that makes the change.
    pub fn hand(command: &str) -> Self {
        let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
        let user = user.map(|user| user.chars().filter(|c| !c.is_control()).take(USER_LENGTH).collect::<String>());
        Self::Hand { user: user.filter(|user| !user.is_empty()), command: command.to_owned() }
    }

    /// Author for people: `anna (lab env set)`, `run 7f3a`, `undo of run 7f3a`, `drill`, `end of drill
    /// 7f3a`.
    pub fn text(&self) -> String {
        match self {
            Self::Up => "lab up".to_owned(),
            Self::Found => "before the history".to_owned(),
            Self::Hand { user: Some(user), command } => format!("{user} ({command})"),
            Self::Hand { user: None, command } => format!("unknown ({command})"),
            Self::Run { run } => format!("run {}", short_id(run)),
            Self::Undo { run } => format!("undo of run {}", short_id(run)),
            Self::Drill { .. } => "drill".to_owned(),
            Self::DrillEnd { drill } => format!("end of drill {}", short_id(drill)),
            Self::Reset => "lab reset".to_owned(),
        }
    }

    /// Whether the change is made even if it cannot be recorded: restoring the lab matters more.
    pub(crate) fn must_proceed(&self) -> bool {
        matches!(self, Self::Undo { .. } | Self::DrillEnd { .. } | Self::Reset)
    }
}
