//! Limits of single values. A macro, so that the reader's checks, its messages and the texts of the reference have them from one
//! place: `concat!` accepts no constants.

/// One limit, as a literal.
macro_rules! limit {
    // Length of a key in characters.
    (key) => {
        256
    };
    // Length of the name of a step in characters.
    (name) => {
        40
    };
    // Length of the name of a caller in characters.
    (caller) => {
        20
    };
    // Length of a line of text in characters.
    (line) => {
        200
    };
    // Length of a longer text in characters.
    (paragraph) => {
        4000
    };
    // Requests of one step.
    (requests) => {
        10_000_000
    };
    // Connections of one step.
    (connections) => {
        10_000
    };
    // Retries of a request.
    (retries) => {
        10
    };
    // Wait before a retry in minutes.
    (backoff) => {
        1
    };
    // Requests per second.
    (rate) => {
        1_000_000
    };
    // Duration of a step in minutes.
    (step) => {
        60
    };
    // Time limit of a request in minutes.
    (timeout) => {
        10
    };
    // Delay of an inject in minutes.
    (delay) => {
        60
    };
    // Shortest interval of polling in milliseconds.
    (shortest_every) => {
        100
    };
    // Longest interval of polling in minutes.
    (longest_every) => {
        1
    };
    // Lowest HTTP status.
    (lowest_status) => {
        100
    };
    // Highest HTTP status.
    (highest_status) => {
        599
    };
}

pub(crate) use limit;
