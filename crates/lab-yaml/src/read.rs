//! Reading a file that somebody wrote: within limits, as UTF-8, without a byte order mark.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Diagnostic, Place, SourceFile};
use lab_system::files;

/// The largest file, in bytes.
const LARGEST: u64 = 1 << 20;

/// The text of a file under the name that was typed. What is wrong is placed where the file is readable up to.
pub fn read(path: &Path) -> Result<Arc<SourceFile>, Diagnostic> {
    let name = path.display().to_string();
    let bytes = bytes(path).map_err(|detail| Diagnostic::new(format!("cannot read {name}: {detail}")))?;
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile::new(name, without_mark(&text))),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
            let file = SourceFile::new(name, String::from_utf8_lossy(&error.as_bytes()[..valid]));
            let diagnostic = Diagnostic::at("the file is not UTF-8", &Place::new(&file, valid..valid))
                .label(format!("the byte 0x{byte:02X} comes next"));
            Err(if wide { diagnostic.help("it looks like UTF-16: save it as UTF-8") } else { diagnostic })
        }
    }
}

/// The bytes of a file.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    files::read_input(path, LARGEST).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => match std::fs::read_link(path) {
            Ok(target) => format!("it is a link to {}, which is not there", target.display()),
            Err(_) => "there is no such file".to_owned(),
        },
        _ => error.to_string(),
    })
}

/// Editors on Windows put a byte order mark first.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
