//! Building an image from a Dockerfile, and telling why that failed.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptionsBuilder;

use super::image::drain;
use super::{Client, Fault, FaultKind};

/// How long a step of a build may be silent: a compiler is.
const BUILD_IDLE: Duration = Duration::from_mins(10);

/// So many lines tell why a build failed.
const LAST_LINES: usize = 5;

/// The builder writes red what a step writes to its stderr (ECMA-48, SGR).
const RED: &str = "\u{1b}[91m";

impl Client {
    /// Builds an image with the daemon's classic builder. `line` takes what the build says.
    pub(in crate::docker) async fn build(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
        tar: Vec<u8>,
        line: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), Fault> {
        let options = BuildImageOptionsBuilder::default().t(name).rm(true).forcerm(true).labels(labels).build();
        let stream = self.docker.build_image(options, None, Some(bollard::body_full(tar.into())));
        let subject = format!("image {name}");
        let mut said = Said::default();
        let built = drain(&subject, BUILD_IDLE, stream, |info: BuildInfo| {
            said.take(&info.stream.unwrap_or_default(), line);
        })
        .await;
        self.confirm(name, built.map_err(|fault| said.with_last_lines(fault, &subject))).await
    }
}

/// What the newest step of a build has said last, the newest line first. The builder reads a step's two streams side by side,
/// so which of them comes first says nothing; why a step failed mostly stands on its stderr.
#[derive(Default)]
struct Said {
    stdout: VecDeque<String>,
    stderr: VecDeque<String>,
}

impl Said {
    fn take(&mut self, text: &str, line: &dyn Fn(&str)) {
        let is_stderr = text.starts_with(RED);
        for text in without_colours(text).lines().filter(|text| !text.trim().is_empty()) {
            line(text);
            // The builder's own.
            if !is_stderr && text.starts_with("Removing intermediate container") {
                continue;
            }
            if !is_stderr && text.starts_with("Step ") {
                *self = Self::default();
            }
            let last = if is_stderr { &mut self.stderr } else { &mut self.stdout };
            last.truncate(LAST_LINES - 1);
            last.push_front(text.trim_end().to_owned());
        }
    }

    /// The daemon says with which code a step ended; why, the last lines of the step say: those of its stderr, and before them
    /// as many of its stdout as there is room for.
    fn with_last_lines(&self, fault: Fault, subject: &str) -> Fault {
        let mut lines: Vec<&String> = self.stderr.iter().chain(&self.stdout).take(LAST_LINES).collect();
        lines.reverse();
        let is_full = lines.iter().any(|line| line.to_ascii_lowercase().contains("no space left on device"));
        let kind = if is_full { FaultKind::DiskFull } else { fault.kind };
        let detail = lines.iter().fold(fault.detail, |detail, line| detail + "\n  " + line);
        Fault::new(kind, subject, detail)
    }
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(items: &[&str]) -> String {
        let mut said = Said::default();
        for item in items {
            said.take(item, &|_| {});
        }
        said.with_last_lines(Fault::new(FaultKind::Other, "image x", "code: 3".to_owned()), "image x").detail
    }

    #[test]
    fn the_reason_on_stderr_is_told_whichever_stream_came_first() {
        let (out, why) = ("1\n2\n3\n4\n5\n6\n", "\u{1b}[91mthis is why\n\u{1b}[0m");
        for items in [["Step 2/2 : RUN x\n", out, why], ["Step 2/2 : RUN x\n", why, out]] {
            assert_eq!(told(&items), "code: 3\n  3\n  4\n  5\n  6\n  this is why");
        }
    }

    #[test]
    fn what_an_earlier_step_said_is_not_why() {
        let items = ["Step 1/2 : RUN x\n", "\u{1b}[91ma warning\n\u{1b}[0m", "Step 2/2 : RUN y\n", "no\n"];
        assert_eq!(told(&items), "code: 3\n  Step 2/2 : RUN y\n  no");
    }
}
