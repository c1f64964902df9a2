//! Owner of a lab on a shared container daemon.

/// State folder that owns a lab. It distinguishes the labs of users who share a daemon, and their resource names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Id of the state folder. Contains no spaces.
    pub id: String,
    /// `HOST:/path`, for messages.
    pub location: String,
}
