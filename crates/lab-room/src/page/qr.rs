//! QR codes as inline SVG, dark on light in both colour schemes, because not every reader finds inverted ones.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};
use qrcode::{Color, EcLevel, QrCode};

/// Margin that readers need, in modules.
const QUIET_ZONE: usize = 4;

/// QR code of a text. A text that is too long for one has none.
pub(super) fn code(text: &str) -> Markup {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else { return html! {} };
    let width = code.width();
    let mut path = String::new();
    for (index, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = (index % width + QUIET_ZONE, index / width + QUIET_ZONE);
            let _ = write!(path, "M{x} {y}h1v1h-1z");
        }
    }
    let size = width + 2 * QUIET_ZONE;
    html! {
        svg.qr viewBox=(format!("0 0 {size} {size}")) shape-rendering="crispEdges" role="img" aria-label={ "QR code of " (text) } {
            (PreEscaped(format!(r##"<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path fill="#000" d="{path}"/>"##)))
        }
    }
}
