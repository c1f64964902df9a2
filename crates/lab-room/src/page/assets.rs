//! Style sheets, script and icon of the pages.

/// Content type and content of an asset, by the part of its path after `/assets/`.
pub fn find(path: &str) -> Option<(&'static str, &'static [u8])> {
    const CSS: &str = "text/css; charset=utf-8";
    Some(match path {
        "room.css" => (CSS, include_bytes!("assets/room.css")),
        "board.css" => (CSS, include_bytes!("assets/board.css")),
        "report.css" => (CSS, lab_report::report::html::STYLE.as_bytes()),
        "room.js" => ("text/javascript; charset=utf-8", include_bytes!("assets/room.js")),
        "icon.svg" => ("image/svg+xml", include_bytes!("assets/icon.svg")),
        _ => return None,
    })
}
