//! Reading a file that somebody wrote: within limits, as UTF-8, without a byte order mark.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::{Diagnostic, Place, SourceFile};

/// The largest file, in bytes.
const LARGEST: u64 = 1 << 20;

/// The text of a file under the name that was typed. What is wrong is placed where the file is readable up to.
pub(crate) fn read(path: &Path) -> Result<Arc<SourceFile>, Diagnostic> {
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

/// The bytes of a file that is not too large. Its size is looked at first, so that no large file is read.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    };
    let metadata = fs::metadata(path).map_err(told)?;
    if metadata.is_dir() {
        return Err("it is a folder; expected a file".to_owned());
    }
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    File::open(path).map_err(told)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(told)?;
    let size = metadata.len().max(bytes.len() as u64);
    if size > LARGEST { Err(format!("it has {size} bytes; expected at most {LARGEST}")) } else { Ok(bytes) }
}

/// Editors on Windows put a byte order mark first.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
