//! Reads a user's file: size limit, UTF-8 check, byte order mark removed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Diagnostic, Place, SourceFile};
use lab_system::files;

/// Maximum file size in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Reads a file and names it by the path as typed. An encoding error is placed at the first invalid byte.
pub fn read(path: &Path) -> Result<Arc<SourceFile>, Diagnostic> {
    let name = path.display().to_string();
    let bytes = files::read_input(path, MAX_SIZE)
        .map_err(|error| Diagnostic::new(format!("cannot read {name}: {}", describe(path, &error))))?;
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile::new(name, strip_bom(&text))),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
            let file = SourceFile::new(name, String::from_utf8_lossy(&error.as_bytes()[..valid]));
            let diagnostic = Diagnostic::at("the file is not UTF-8", &Place::new(&file, valid..valid))
                .label(format!("invalid byte 0x{byte:02X} after this"));
            Err(if wide { diagnostic.help("it looks like UTF-16: save it as UTF-8") } else { diagnostic })
        }
    }
}

/// Describes why a file cannot be read.
fn describe(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => match std::fs::read_link(path) {
            Ok(target) => format!("it is a link to {}, which does not exist", target.display()),
            Err(_) => "no such file".to_owned(),
        },
        _ => error.to_string(),
    }
}

/// Removes the byte order mark that Windows editors write.
pub fn strip_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
