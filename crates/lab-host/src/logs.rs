//! Lines of the services' log files.

use std::path::PathBuf;

use lab_core::engine::logs::time_in;
use lab_core::engine::{EngineError, EngineErrorKind, LogLine, LogRequest};
use lab_system::files::{self, Folder};

use crate::{LOG_FOLDER, PROCESSES, unreadable};

/// Lines that the log files have now.
pub struct PastLines {
    /// Selected lines, and an error for each log that cannot be read.
    pub lines: Vec<Result<LogLine, EngineError>>,
    /// Selected services.
    pub services: Vec<&'static str>,
    /// Length of each selected service's log up to its last complete line, in bytes.
    pub offsets: Vec<usize>,
}

/// Reads the selected lines. Fails if the request names a service without a log.
pub fn past_lines(folder: &Folder, request: &LogRequest) -> Result<PastLines, EngineError> {
    for service in &request.services {
        if !PROCESSES.contains(&service.as_str()) {
            let detail = format!("it has no log on this engine (services with logs: {})", PROCESSES.join(", "));
            return Err(EngineError::new(EngineErrorKind::Unsupported, detail).for_service(service));
        }
    }
    let services: Vec<&str> = PROCESSES.into_iter().filter(|name| request.includes(name)).collect();
    let (mut past, mut offsets, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for service in &services {
        let path = file(folder, service);
        let text = match files::read_state(&path, files::LOG_LIMIT) {
            Ok(text) => text,
            // A service that never started has no log.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                lines.push(Err(unreadable(&path, &error).for_service(service)));
                Vec::new()
            }
        };
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        offsets.push(complete);
        past.push(parse(service, &text[..complete]));
    }
    lines.extend(request.select(past).into_iter().map(Ok));
    Ok(PastLines { lines, services, offsets })
}

/// Log file of a service.
pub(crate) fn file(folder: &Folder, service: &str) -> PathBuf {
    folder.path(LOG_FOLDER).join(format!("{service}.log"))
}

fn parse(service: &str, text: &[u8]) -> Vec<LogLine> {
    let text = String::from_utf8_lossy(text);
    let line = |text: &str| LogLine { service: service.to_owned(), time: time_in(text), text: text.to_owned() };
    text.lines().map(line).collect()
}
