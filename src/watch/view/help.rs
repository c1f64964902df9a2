//! The help: what the keys do, and what the signs mean.

use ratatui_core::layout::Rect;

use super::pen::Pen;
use lab_report::term::Tone;

const KEYS: [(&str, &str); 9] = [
    ("q, Ctrl-C", "leave; the lab stays as it is"),
    ("tab", "overview, charts, steps, log; shift-tab: back"),
    ("esc", "back to the overview"),
    ("p, space", "stand still, and go on"),
    ("l", "the log of one service after the other"),
    ("r", "charts of 2, 5, 15 minutes, an hour"),
    ("up, down", "turn the log back; page up and down, home, end"),
    ("▲", "below a chart: a fault (red) or a remedy (green)"),
    ("░", "in a chart: the app did not answer"),
];
/// The columns of the keys.
const WIDTH: u16 = 11;
/// The columns of all of it, its frame included.
const BOX: u16 = 66;

pub(super) fn draw(pen: &mut Pen<'_>, area: Rect) {
    let rows = u16::try_from(KEYS.len()).unwrap_or_default() + 2;
    let (width, height) = (BOX.min(area.width), rows.min(area.height));
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let inside = pen.boxed(Rect { x, y, width, height });
    for (y, (key, does)) in (inside.y..inside.bottom()).zip(KEYS) {
        let key = format!("{key:<width$}", width = usize::from(WIDTH));
        pen.row(Rect { y, height: 1, ..inside }, &[(Tone::Strong, key), (Tone::Plain, does.to_owned())]);
    }
}
