//! Colours by meaning. Text is padded before it is painted,
//! so that escape codes need not be measured.

use console::Style;

use super::clean::clean_lines;

/// Meaning of a piece of text, which determines its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// No special meaning.
    #[default]
    Plain,
    /// Passed, healthy, done.
    Good,
    /// Failed, unhealthy.
    Failed,
    /// Needs attention: an active fault, a kept change.
    Warn,
    /// Column heads, asides.
    Dim,
    /// Titles.
    Strong,
}

/// Paints text if colours are enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Painter {
    on: bool,
}

impl Painter {
    /// Painter without colours.
    pub const PLAIN: Self = Self { on: false };

    /// Enables colours if `on` is set.
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// Returns true if colours are enabled.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// Paints a text in one of several colours without a meaning, to distinguish items by `index`.
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

    /// Paints a text in the colour of its meaning. Other colours in the text are removed.
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
