//! What may be typed after `lab images`, and which images a lab may be made from.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `lab images`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// Show which images the stack needs, which are here, and where they came from
    List {
        /// Of which stack
        #[command(flatten)]
        stack: StackArgs,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Fetch the images that are missing, and the official ones where stand-ins bear their names
    Pull {
        /// Whose; all where none is named
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
        /// Of which stack
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Write the images that are here to one file, to be loaded where no registry is in reach
    Save {
        /// Written whole or not at all
        file: PathBuf,
        /// Of which stack
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Take the images from a file that `lab images save` wrote, once it is checked
    Load {
        /// The file
        file: PathBuf,
    },
}

/// Which stack.
#[derive(Debug, Args)]
pub(crate) struct StackArgs {
    /// A folder with a compose.yaml of your own [default: the lab's, else the one that comes with lab]
    #[arg(long, value_name = "DIR")]
    pub(crate) stack: Option<PathBuf>,
    /// A folder that it may read beside its own
    #[arg(long, value_name = "PATH", requires = "stack")]
    pub(crate) allow_folder: Vec<PathBuf>,
}

/// Which images a lab on Docker may be made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImagesChoice {
    /// Those that are here; what is missing is fetched. Says so where stand-ins are used
    Auto,
    /// Those that are here, stand-ins among them; nothing is fetched
    Offline,
}
