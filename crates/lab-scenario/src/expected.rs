//! [`Expected`]: the error of a parser for a single value.

/// Expected form of a value, such as "expected a whole number from 1 to 10000". Short enough to be shown under the caret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Expected(String);

impl Expected {
    /// Creates the error from the text that follows the value in a message.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<Expected> for String {
    fn from(expected: Expected) -> Self {
        expected.0
    }
}
