//! Arguments of `lab drill`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

pub(crate) use super::start_drill::{IncidentArgs, StartDrillArgs};

/// `lab drill`.
#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// Start a drill: an incident that nobody names, in a running lab
    #[command(after_help = "Examples:\n  lab drill start\n  lab drill start --difficulty beginner --coach\n  \
        lab drill start --from app-slow,db-down,rate-limited\n  lab drill start app-slow\n\n\
        The lab is brought up first if it is not up. The fault comes after a quiet time, and the customer writes later. \
        One drill in ten has no fault.")]
    Start(StartDrillArgs),
    /// Continue a drill whose referee was killed; the gap does not count
    #[command(after_help = "Examples:\n  lab drill resume")]
    Resume,
    /// Show the clock, the messages, the services, what the callers get, and what is due
    #[command(after_help = "Examples:\n  lab drill status\n  lab drill status --json | jq .messages")]
    Status {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Watch the drill live in a full-screen view
    #[command(after_help = "Examples:\n  lab drill watch\n\nPress q to quit; the drill goes on.")]
    Watch,
    /// State that there is an incident and that you are working on it
    #[command(after_help = "Examples:\n  lab drill ack\n\nAn acknowledgement before anything is wrong costs points.")]
    Ack,
    /// Show what the next hint is about and its price, or open it
    #[command(after_help = "Examples:\n  lab drill hint\n  lab drill hint --open\n\n\
        The price is a share of the points for the diagnosis and the resolution. A hint costs nothing if the incident is \
        not resolved.")]
    Hint {
        /// Open the next hint
        #[arg(long)]
        open: bool,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// State where the cause is and what it is; without arguments, list the possible answers
    #[command(after_help = "Examples:\n  lab drill diagnose\n  lab drill diagnose gateway timeout too short\n  \
        lab drill diagnose 3 7\n  lab drill diagnose gateway 'address or path wrong' account 'has expired'\n\n\
        Names and numbers are those of the lists. A second pair states a second, independent fault. \
        The first answer counts most.")]
    Diagnose {
        /// Where it is and what it is, as names or numbers
        #[arg(value_name = "WHERE WHAT")]
        answer: Vec<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Tell the customers or your own company what is going on
    #[command(after_help = "Examples:\n  lab drill update\n  \
        lab drill update --to customers --state investigating --affected some --since 5m --next 15m \
        'Some requests fail. We are looking for the cause.'\n\n\
        On a terminal, what is missing is asked for. Secrets and estimates are pointed out before the update is sent.")]
    Update(UpdateArgs),
    /// End the drill, restore the lab and show the debrief
    #[command(after_help = "Examples:\n  lab drill finish\n  lab drill finish --report debrief.html\n\n\
        Right after a fix, it waits until the referee has seen the callers succeed for ten seconds and has checked the \
        fix, because a fix counts only then. Ctrl-C continues the drill.")]
    Finish(FinishArgs),
    /// End the drill without a result, and restore the lab
    #[command(after_help = "Examples:\n  lab drill give-up")]
    GiveUp(DebriefArgs),
    /// List past drills with their scores, newest first
    #[command(after_help = "Examples:\n  lab drill list\n  lab drill list --json")]
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show the debrief of a past drill
    #[command(after_help = "Examples:\n  lab drill show last\n  lab drill show 7f3a --report debrief.html\n  \
        lab drill show 7f3a --json\n\n\
        The debrief is computed from the drill's log, so it is the same each time.")]
    Show {
        /// Drill id, the end of it, or `last`
        #[arg(value_name = "DRILL", default_value = "last")]
        id: String,
        #[command(flatten)]
        debrief: DebriefArgs,
    },
}

/// `lab drill finish`.
#[derive(Debug, Args)]
pub(crate) struct FinishArgs {
    /// Do not wait for the verdict about the last fix
    #[arg(long)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) debrief: DebriefArgs,
}

/// Where a debrief goes.
#[derive(Clone, Debug, Args)]
pub(crate) struct DebriefArgs {
    /// Also write the debrief to a file: .html, .md or .json; can be given several times
    #[arg(long = "report", value_name = "FILE")]
    pub(crate) reports: Vec<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab drill update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Who gets it
    #[arg(long, value_enum)]
    pub(crate) to: Option<AudienceChoice>,
    /// State of the incident
    #[arg(long, value_enum)]
    pub(crate) state: Option<StateChoice>,
    /// Whose requests fail
    #[arg(long, value_enum)]
    pub(crate) affected: Option<AffectedChoice>,
    /// Start of the incident: a time of day (10:05) or how long ago (5m)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Time until the next update: 10m
    #[arg(long, value_name = "TIME")]
    pub(crate) next: Option<String>,
    /// The message, in one line
    pub(crate) text: Option<String>,
    /// Send it even if it has a secret or an estimate
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Who gets an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AudienceChoice {
    /// The customers
    Customers,
    /// Support and managers
    Internal,
}

/// State of the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateChoice {
    /// The cause is not known
    Investigating,
    /// The cause is known, requests still fail
    Identified,
    /// Requests succeed again, and you watch if they keep doing so
    Monitoring,
    /// It is over
    Resolved,
}

/// Whose requests fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AffectedChoice {
    /// None
    Nobody,
    /// Those of some callers, or some requests
    Some,
    /// All
    Everybody,
}
