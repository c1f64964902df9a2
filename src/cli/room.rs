//! Arguments of `lab room`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Arg, Args, Subcommand, ValueEnum};

use super::{EngineChoice, IncidentArgs};

/// `--name` in these commands. It takes the place of the global option, which names a lab.
pub(super) fn name() -> Arg {
    Arg::new("name")
        .long("name")
        .global(true)
        .value_name("NAME")
        .help("Room to use [default: the only one; up: room] [env: LAB_NAME]")
}

/// Room as an argument, as an alternative to `--name`.
#[derive(Debug, Args)]
pub(crate) struct RoomArgument {
    /// Room to use, as an alternative to --name [default: the only room]
    #[arg(value_name = "NAME", conflicts_with = "name")]
    room: Option<String>,
}

/// `lab room`.
#[derive(Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// Open a room: one lab per seat, and a server with the pages
    #[command(
        after_help = "Examples:\n  lab room up --seats 12\n  lab room up monday --seats 28 --reserve 2 --bind 0.0.0.0\n  \
        lab room up --seats 30 --roster names.txt\n\n\
        Prints the address for the participants, and the trainer's address with its token. Participants need a browser and \
        the code of their seat; the trainer's page prints cards with them."
    )]
    Up(RoomUpArgs),
    /// Show the seats, their labs, and the drill
    #[command(
        after_help = "Examples:\n  lab room status\n  lab room status --json | jq .seats\n  lab room status --codes"
    )]
    Status(RoomStatusArgs),
    /// Start, pause, resume or end a drill of the whole room
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  lab room drill start rotate-key --limit 30m\n  \
        lab room drill start --difficulty beginner --coach\n  lab room drill end")]
    Drill(RoomDrillCommand),
    /// Show a message to all participants, or to one
    #[command(
        after_help = "Examples:\n  lab room say 'Five minutes left.'\n  lab room say --seat 7 'Look at the gateway.'"
    )]
    Say {
        /// The message, in one line
        text: String,
        /// Only for this seat
        #[arg(long, value_name = "SEAT")]
        seat: Option<u16>,
    },
    /// Send a message of a person in the drill, such as a customer
    #[command(after_help = "Examples:\n  lab room inject --from 'Ana, support' 'Two more customers called.'")]
    Inject {
        /// The message, in one line
        text: String,
        /// Who writes it
        #[arg(long, value_name = "WHO")]
        from: String,
        /// Only for this seat
        #[arg(long, value_name = "SEAT")]
        seat: Option<u16>,
    },
    /// Give a seat more time in the drill
    #[command(after_help = "Examples:\n  lab room extend 7\n  lab room extend 7 10m")]
    Extend {
        /// Number of the seat
        #[arg(value_name = "SEAT")]
        seat: u16,
        /// How much more
        #[arg(value_name = "TIME", default_value = "5m")]
        by: String,
    },
    /// Take a seat's lab back to how it was first brought up; its drill begins again
    #[command(after_help = "Examples:\n  lab room reset 7")]
    Reset {
        /// Number of the seat
        #[arg(value_name = "SEAT")]
        seat: u16,
    },
    /// Show the incident, the points and the debriefs to all participants
    #[command(after_help = "Examples:\n  lab room drill end\n  lab room reveal")]
    Reveal,
    /// Freeze the board, or let it go on
    #[command(after_help = "Examples:\n  lab room freeze\n  lab room freeze --off")]
    Freeze {
        /// Let it go on
        #[arg(long)]
        off: bool,
    },
    /// Choose what the board shows
    #[command(
        after_help = "Examples:\n  lab room scene tiles\n  lab room scene seat --seat 7\n  lab room scene debrief"
    )]
    Scene {
        /// What to show
        #[arg(value_enum)]
        scene: SceneChoice,
        /// The seat to show
        #[arg(long, value_name = "SEAT", required_if_eq("scene", "seat"))]
        seat: Option<u16>,
    },
    /// Write the results of the last drill
    #[command(
        after_help = "Examples:\n  lab room export -o results.html\n  lab room export --format csv | column -s, -t"
    )]
    Export {
        /// Format [default: that of the file's name, else csv]
        #[arg(long, value_enum)]
        format: Option<ExportFormat>,
        /// File to write, instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Stop every clock
    #[command(after_help = "Examples:\n  lab room pause\n  lab room resume")]
    Pause(RoomArgument),
    /// Continue after a pause, or start the server again after a reboot
    #[command(after_help = "Examples:\n  lab room resume\n\n\
        Seats, codes, faults, clocks and scores are the same as before. The time without a server does not count.")]
    Resume(RoomArgument),
    /// Close a room: end its drills and remove all labs
    #[command(after_help = "Examples:\n  lab room down\n  lab room down monday --json\n\n\
        Export the results first. The logs of the drills are kept, see lab drill list.")]
    Down(RoomDownArgs),
}

/// `lab room up`.
#[derive(Debug, Args)]
pub(crate) struct RoomUpArgs {
    /// Name of the room [default: room]
    #[arg(value_name = "NAME", conflicts_with = "name")]
    room: Option<String>,
    /// Number of seats
    #[arg(long, value_name = "COUNT")]
    pub(crate) seats: u16,
    /// Further seats that are kept free, for latecomers and for seats that fail
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) reserve: u16,
    /// File with the names of the participants, one per line, in the order of the seats
    #[arg(long, value_name = "FILE")]
    pub(crate) roster: Option<PathBuf>,
    /// Engine of the labs; auto is embedded
    #[arg(long, env = "LAB_ENGINE", hide_env_values = true, value_enum, default_value_t)]
    pub(crate) engine: EngineChoice,
    /// Address to listen on; 0.0.0.0 lets participants join from other machines
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// Port to listen on; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 7000)]
    pub(crate) port: u16,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab room status`.
#[derive(Debug, Args)]
pub(crate) struct RoomStatusArgs {
    #[command(flatten)]
    pub(crate) room: RoomArgument,
    /// Also show the codes by which participants join
    #[arg(long)]
    pub(crate) codes: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab room down`.
#[derive(Debug, Args)]
pub(crate) struct RoomDownArgs {
    #[command(flatten)]
    pub(crate) room: RoomArgument,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab room drill`.
#[derive(Debug, Subcommand)]
pub(crate) enum RoomDrillCommand {
    /// Start a drill of the whole room: the same incident for all seats, with other values for each
    #[command(after_help = "Examples:\n  lab room drill start\n  lab room drill start stale-caller --limit 30m\n  \
        lab room drill start --from app-slow,db-frozen --coach\n\n\
        Participants learn neither the incident nor its name. A seat's clock starts when its participant joins.")]
    Start(RoomDrillArgs),
    /// End the drill of all seats, and restore their labs
    #[command(after_help = "Examples:\n  lab room drill end")]
    End,
    /// Stop every clock
    #[command(after_help = "Examples:\n  lab room drill pause")]
    Pause,
    /// Continue after a pause
    #[command(after_help = "Examples:\n  lab room drill resume")]
    Resume,
}

/// `lab room drill start`.
#[derive(Debug, Args)]
pub(crate) struct RoomDrillArgs {
    #[command(flatten)]
    pub(crate) incident: IncidentArgs,
    /// Longest drill time of a seat, at most 2h
    #[arg(long, value_name = "TIME")]
    pub(crate) limit: Option<String>,
    /// Time until the fault [default: 30s to 180s, drawn for each seat]
    #[arg(long, value_name = "TIME")]
    pub(crate) quiet: Option<String>,
    /// Name wrong fixes and verdicts at once
    #[arg(long)]
    pub(crate) coach: bool,
}

/// What the board shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SceneChoice {
    /// Address and QR code to join
    Join,
    /// A tile per seat
    Tiles,
    /// How many seats work over time
    Outage,
    /// The five best, once revealed
    Top,
    /// One seat in detail
    Seat,
    /// What the incident was, once revealed
    Debrief,
}

/// Format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A table for spreadsheets
    Csv,
    /// One document for programs
    Json,
    /// A page for people, with one part per participant
    Html,
}

impl RoomCommand {
    /// Takes the room that was given as an argument.
    pub(super) fn take_room(&mut self) -> Option<String> {
        match self {
            Self::Up(args) => args.room.take(),
            Self::Status(args) => args.room.room.take(),
            Self::Pause(room) | Self::Resume(room) => room.room.take(),
            Self::Down(args) => args.room.room.take(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::{Cli, parse};

    #[test]
    fn a_room_can_be_named_anywhere() {
        for line in ["--name monday room reveal", "room --name monday reveal", "room reveal --name monday"] {
            let cli = parse(line.split(' ').map(Into::into)).unwrap();
            assert_eq!(cli.name.as_deref(), Some("monday"), "{line}");
        }
        assert!(parse("room status monday --name tuesday".split(' ').map(Into::into)).is_err());
    }

    #[test]
    fn the_help_says_what_the_name_is_of() {
        let help = |path: &[&str]| {
            let mut lab = Cli::command();
            lab.build();
            let command = path.iter().fold(&mut lab, |command, name| command.find_subcommand_mut(name).unwrap());
            command.render_help().to_string()
        };
        for path in [&["room"][..], &["room", "say"], &["room", "drill", "end"]] {
            assert!(help(path).contains("Room to use") && !help(path).contains("Name of the lab"), "{path:?}");
        }
        assert!(help(&["status"]).contains("Name of the lab"));
    }
}
