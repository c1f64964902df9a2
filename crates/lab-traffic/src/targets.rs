//! Reads a file of requests in vegeta's plain format: `METHOD URL`, headers on the following lines, `@FILE` for a body, an
//! empty line between requests, and `#` for comments.

use std::io;
use std::path::{Path, PathBuf};

use super::RequestSpec;
use lab_system::files;

/// Maximum number of requests per file.
const MAX_REQUESTS: usize = 100_000;
/// Maximum size of a body in bytes.
const MAX_BODY: u64 = 16 << 20;
/// Maximum size of the file in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Problem with a file of requests.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// The file, or a body file that it refers to, cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// File that could not be read.
        path: PathBuf,
        /// Error of the system, or of decoding the text.
        source: io::Error,
    },
    /// A line is not in the format.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// File of requests.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// Problem with the line.
        reason: String,
    },
    /// The file contains no requests.
    #[error("{} has no requests: write lines such as `GET /api/users`", path.display())]
    Empty {
        /// File of requests.
        path: PathBuf,
    },
}

/// Reads a file of requests. A path instead of a URL is kept as it is, and the caller must complete it. Body files are
/// relative to the folder of the file.
pub fn read_targets(path: &Path) -> Result<Vec<RequestSpec>, TargetsError> {
    let text = read(path, MAX_FILE)?;
    let text = String::from_utf8(text).map_err(|error| {
        let source = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        TargetsError::Unreadable { path: path.to_owned(), source }
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut requests: Vec<RequestSpec> = Vec::new();
    // Headers are allowed after a request, until an empty line or a body.
    let mut open = false;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let wrong = |reason: String| TargetsError::Line { path: path.to_owned(), line: at + 1, reason };
        let line = line.trim();
        if line.is_empty() {
            open = false;
        } else if line.starts_with('#') {
        } else if let Some(file) = line.strip_prefix('@') {
            let Some(request) = requests.last_mut().filter(|_| open) else {
                return Err(wrong("expected a request before its body".to_owned()));
            };
            request.body = read_body(&folder.join(file.trim()))?;
            open = false;
        } else if let Some(request) = first_line(line) {
            if requests.len() == MAX_REQUESTS {
                return Err(wrong(format!("expected at most {MAX_REQUESTS} requests")));
            }
            requests.push(request);
            open = true;
        } else if let Some((request, (name, value))) = requests.last_mut().filter(|_| open).zip(line.split_once(':')) {
            request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        } else {
            return Err(wrong(format!(
                "expected `METHOD URL`{}, not {line:?}",
                if open { " or `Header: value`" } else { "" }
            )));
        }
    }
    if requests.is_empty() { Err(TargetsError::Empty { path: path.to_owned() }) } else { Ok(requests) }
}

/// Reads the body of a request from a file of at most 16 MiB.
pub fn read_body(path: &Path) -> Result<Vec<u8>, TargetsError> {
    read(path, MAX_BODY)
}

/// Parses `GET http://host/path` or `GET /path`.
fn first_line(line: &str) -> Option<RequestSpec> {
    let (method, url) = line.split_once(char::is_whitespace)?;
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let url = url.trim().to_owned();
    Some(RequestSpec { url, method: method.to_owned(), headers: Vec::new(), body: Vec::new() })
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, TargetsError> {
    files::read_input(path, most).map_err(|source| TargetsError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file with this text, beside a file `body.json`. Also returns their folder.
    fn targets(text: &str) -> (tempfile::TempDir, Result<Vec<RequestSpec>, TargetsError>) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("body.json"), "{}").expect("a file");
        let path = folder.path().join("targets");
        std::fs::write(&path, text).expect("a file");
        let requests = read_targets(&path);
        (folder, requests)
    }

    #[test]
    fn vegetas_own_example_is_read() {
        let (_folder, requests) = targets(
            "# a remark\nGET http://goku:9090/path/to/dragon?item=ball\nX-Account-ID: 8675309\n\n\
             DELETE http://goku:9090/path/to/remove\nConfirmation-Token: 90215\nAuthorization: Token DEADBEEF\n\n\
             POST /things\nContent-Type: application/json\n@body.json\n",
        );
        let requests = requests.expect("it is valid");
        let seen: Vec<_> = requests
            .iter()
            .map(|request| (request.method.as_str(), request.url.as_str(), request.headers.len(), request.body.len()))
            .collect();
        assert_eq!(
            seen,
            [
                ("GET", "http://goku:9090/path/to/dragon?item=ball", 1, 0),
                ("DELETE", "http://goku:9090/path/to/remove", 2, 0),
                ("POST", "/things", 1, 2),
            ]
        );
        assert_eq!(requests[1].headers[1], ("Authorization".to_owned(), "Token DEADBEEF".to_owned()));
    }

    #[test]
    fn requests_may_follow_each_other_line_by_line() {
        assert_eq!(targets("GET /a\nGET /b\r\nGET /c").1.expect("valid").len(), 3);
    }

    #[test]
    fn errors_have_line_numbers() {
        let cases = [
            ("", "targets has no requests: write lines such as `GET /api/users`"),
            ("get /a\n", "targets:1: expected `METHOD URL`, not \"get /a\""),
            ("GET /a\nnonsense\n", "targets:2: expected `METHOD URL` or `Header: value`, not \"nonsense\""),
            ("GET /a\n\nX-Late: 1\n", "targets:3: expected `METHOD URL`, not \"X-Late: 1\""),
            ("@body.json\n", "targets:1: expected a request before its body"),
            ("POST /a\n@missing\n", "cannot read missing: No such file or directory (os error 2)"),
        ];
        for (text, wrong) in cases {
            let (folder, requests) = targets(text);
            let error = requests.expect_err(text).to_string();
            assert_eq!(error.replace(&format!("{}/", folder.path().display()), ""), wrong);
        }
    }
}
