//! Arguments of `lab swarm`.

use std::path::PathBuf;

use clap::Subcommand;

/// `lab swarm`.
#[derive(Debug, Subcommand)]
pub(crate) enum SwarmCommand {
    /// Show the nodes, their labs, how many more they can carry, and which of them have lab's image
    Status {
        /// Image of lab by its id or digest [default: the image of this lab]
        #[arg(long, value_name = "IMAGE")]
        image: Option<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Create a Swarm whose manager is the Docker daemon, load lab's image, and print how other machines join
    Init {
        /// Address at which other machines reach this one, if it has several
        #[arg(long, value_name = "ADDRESS")]
        advertise_addr: Option<String>,
    },
    /// Write lab's image to a file, for `docker load` on a node
    Save {
        /// Output file
        file: PathBuf,
    },
    /// Load lab's image into the Docker daemon of a node
    Load,
}
