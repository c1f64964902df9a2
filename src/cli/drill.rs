//! Arguments of `lab drill`.

use clap::Subcommand;

/// `lab drill`.
#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// State that there is an incident and that you are working on it
    #[command(after_help = "Examples:\n  lab drill ack\n\nAn acknowledgement before anything is wrong costs points.")]
    Ack,
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
}
