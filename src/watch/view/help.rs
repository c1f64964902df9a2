//! Help box: keys and symbols.

use ratatui_core::layout::Rect;

use super::pen::Pen;
use lab_report::term::Tone;

const KEYS: [(&str, &str); 9] = [
    ("q, Ctrl-C", "quit; the lab keeps running"),
    ("tab", "overview, charts, steps, log; shift-tab: back"),
    ("esc", "back to the overview"),
    ("p, space", "pause and resume"),
    ("l", "log of the next service"),
    ("r", "range of the charts: 2, 5, 15 minutes, 1 hour"),
    ("up, down", "scroll the log; also page up, page down, home, end"),
    ("▲", "below a chart: a fault (red) or a fix (green)"),
    ("░", "in a chart: no metrics, because the service did not answer"),
];
/// Width of the key column.
const WIDTH: u16 = 11;
/// Width of the box, including its frame.
const BOX: u16 = 66;

pub(super) fn draw(pen: &mut Pen<'_>, area: Rect) {
    let rows = u16::try_from(KEYS.len()).unwrap_or_default() + 2;
    let (width, height) = (BOX.min(area.width), rows.min(area.height));
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let inside = pen.draw_box(Rect { x, y, width, height });
    for (y, (key, does)) in (inside.y..inside.bottom()).zip(KEYS) {
        let key = format!("{key:<width$}", width = usize::from(WIDTH));
        pen.row(Rect { y, height: 1, ..inside }, &[(Tone::Strong, key), (Tone::Plain, does.to_owned())]);
    }
}
