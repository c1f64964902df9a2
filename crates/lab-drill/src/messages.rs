//! Messages of a drill, such as the customer's ticket.

/// Drill time in milliseconds between the impact and the ticket.
pub const TICKET_AFTER: u64 = 60_000;

/// The ticket of the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket<'a> {
    /// When it arrived.
    pub at: u64,
    /// The incident in a customer's words.
    pub text: &'a str,
}
