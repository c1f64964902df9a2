//! Image builds from a Dockerfile, and the reason if one fails.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptionsBuilder;

use super::image::drain;
use super::{Client, Fault, FaultKind};

/// Time that a build step may be silent, as a compiler is.
const BUILD_IDLE: Duration = Duration::from_mins(10);

/// Number of output lines in an error.
const LAST_LINES: usize = 5;

/// SGR sequence (ECMA-48) with which the builder marks a step's stderr.
const RED: &str = "\u{1b}[91m";

impl Client {
    /// Builds an image with the daemon's classic builder. `line` receives the output.
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
        let mut output = StepOutput::default();
        let built = drain(&subject, BUILD_IDLE, stream, |info: BuildInfo| {
            output.push(&info.stream.unwrap_or_default(), line);
        })
        .await;
        self.confirm(name, built.map_err(|fault| output.with_last_lines(fault, &subject))).await
    }
}

/// Last output of a build's current step, newest line first. The builder reads both streams of a step concurrently, so their
/// relative order means nothing; the cause of a failure is usually on stderr.
#[derive(Default)]
struct StepOutput {
    stdout: VecDeque<String>,
    stderr: VecDeque<String>,
}

impl StepOutput {
    fn push(&mut self, text: &str, line: &dyn Fn(&str)) {
        let is_stderr = text.starts_with(RED);
        for text in without_colours(text).lines().filter(|text| !text.trim().is_empty()) {
            line(text);
            // Printed by the builder, not by the step.
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

    /// Adds the last lines of the step to the error, which only has the exit code: stderr first, then as many lines of stdout
    /// as fit.
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

    fn detail(items: &[&str]) -> String {
        let mut output = StepOutput::default();
        for item in items {
            output.push(item, &|_| {});
        }
        output.with_last_lines(Fault::new(FaultKind::Other, "image x", "code: 3".to_owned()), "image x").detail
    }

    #[test]
    fn an_error_has_the_reason_from_stderr_in_any_order() {
        let (out, why) = ("1\n2\n3\n4\n5\n6\n", "\u{1b}[91mthis is why\n\u{1b}[0m");
        for items in [["Step 2/2 : RUN x\n", out, why], ["Step 2/2 : RUN x\n", why, out]] {
            assert_eq!(detail(&items), "code: 3\n  3\n  4\n  5\n  6\n  this is why");
        }
    }

    #[test]
    fn an_error_ignores_the_output_of_earlier_steps() {
        let items = ["Step 1/2 : RUN x\n", "\u{1b}[91ma warning\n\u{1b}[0m", "Step 2/2 : RUN y\n", "no\n"];
        assert_eq!(detail(&items), "code: 3\n  Step 2/2 : RUN y\n  no");
    }
}
