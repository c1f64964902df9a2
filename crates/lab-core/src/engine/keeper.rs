//! [`Keeper`]: the state folder that owns a lab.

/// Who keeps a lab: the state folder that remembers it. It tells apart the labs of users who share a daemon, and with it the
/// names of what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// The id of the folder, without a space.
    pub id: String,
    /// Where people find it: `HOST:/path`.
    pub place: String,
}
