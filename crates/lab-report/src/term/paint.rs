//! [`Painter`]: colour by meaning. What a colour stands for is decided here alone; text is padded before it is painted,
//! so that nobody has to measure escape codes.

use console::Style;

use super::clean::clean_lines;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing beyond itself.
    #[default]
    Plain,
    /// Passed, healthy, done.
    Good,
    /// Failed, unhealthy.
    Failed,
    /// Look here: a fault at work, something kept.
    Warn,
    /// Column heads, asides.
    Dim,
    /// Titles.
    Strong,
}

/// Paints text, or leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Painter {
    on: bool,
}

impl Painter {
    /// Never paints.
    pub const PLAIN: Self = Self { on: false };

    /// Paints where `on`.
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// Whether it paints.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// The text in one of a few colours that tell things apart and mean nothing; `index` says which thing it is.
    pub fn apart(self, index: usize, text: &str) -> String {
        let style = Style::new();
        let colours = [
            style.clone().cyan(),
            style.clone().magenta(),
            style.clone().blue(),
            style.clone().yellow(),
            style.green(),
        ];
        let style = &colours[index % colours.len()];
        let text = clean_lines(text);
        if self.on { style.clone().force_styling(true).apply_to(text).to_string() } else { text }
    }

    /// The text in the colour of its meaning, which is its only one: foreign colours in it are gone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let text = clean_lines(text);
        let style = match tone {
            Tone::Plain => return text,
            Tone::Good => Style::new().green(),
            Tone::Failed => Style::new().red().bold(),
            Tone::Warn => Style::new().yellow(),
            Tone::Dim => Style::new().dim(),
            Tone::Strong => Style::new().bold(),
        };
        if self.on && !text.is_empty() { style.force_styling(true).apply_to(text).to_string() } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::{Painter, Tone};

    #[test]
    fn paints_only_where_it_is_on() {
        assert_eq!(Painter::PLAIN.paint(Tone::Failed, "failed"), "failed");
        assert_eq!(Painter::new(true).paint(Tone::Good, "ok"), "\u{1b}[32mok\u{1b}[0m");
        assert_eq!(Painter::new(true).paint(Tone::Good, ""), "");
    }
}
