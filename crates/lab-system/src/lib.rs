//! What lab needs of the machine: atomic files of the state folder, background processes that outlive the command that
//! started them, and commands of the user. It knows nothing of labs.

pub mod background;
pub mod deadline;
pub mod files;
pub mod process;
