//! Arguments of `lab images`, and the choice of images for new labs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `lab images`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// List the images of the stack, with size and origin
    List {
        #[command(flatten)]
        stack: StackArgs,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Pull missing images, and replace stand-ins by the official images
    Pull {
        /// Services whose images to pull [default: all]
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Save the available images to one file, to load on a machine without a registry
    Save {
        /// Output file; written completely or not at all
        file: PathBuf,
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Load images from a file written by `lab images save`, after verifying it
    Load {
        /// File to load
        file: PathBuf,
    },
}

/// Selects a stack.
#[derive(Debug, Args)]
pub(crate) struct StackArgs {
    /// Folder with your own compose.yaml [default: the lab's stack, else the built-in one]
    #[arg(long, value_name = "DIR")]
    pub(crate) stack: Option<PathBuf>,
    /// Additional folder that the stack may read; can be given several times
    #[arg(long, value_name = "PATH", requires = "stack")]
    pub(crate) allow_folder: Vec<PathBuf>,
}

/// Images that a Docker lab may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImagesChoice {
    /// Use local images, stand-ins included (with a note), and pull missing ones
    Auto,
    /// Use only local images, stand-ins included; pull nothing
    Offline,
}
