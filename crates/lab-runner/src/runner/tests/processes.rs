//! [`MockProcesses`]: commands that are scripted, in tokio's time: `exit CODE`, `sleep SECONDS`, `print TEXT`, `align`
//! (the caller by hand, as a runbook would), `env NAME`, `fail`.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::support::by_hand;
use crate::lab::Lab;
use lab_core::engine::{APP, KEY_VARIABLE};
use lab_system::process::{Ended, How, Job, ProcessError, Processes};
use lab_testkit::engine::MockEngine;

pub(super) struct MockProcesses {
    engine: MockEngine,
    lab: Lab,
}

impl MockProcesses {
    pub(super) fn new(engine: MockEngine, lab: Lab) -> Self {
        Self { engine, lab }
    }
}

#[async_trait]
impl Processes for MockProcesses {
    async fn run(&self, job: &Job, stop: &CancellationToken) -> Result<Ended, ProcessError> {
        let words: Vec<&str> = job.command.iter().map(String::as_str).collect();
        let ended = |how, text: &str| Ended { how, stdout: text.to_owned(), lines: vec![text.to_owned()] };
        match words[..] {
            ["exit", code] => Ok(ended(How::Code(code.parse().unwrap()), "what it said last")),
            ["print", text] => Ok(ended(How::Code(0), text)),
            ["env", name] => Ok(ended(How::Code(0), job.env.get(name).map_or("-", String::as_str))),
            ["align"] => {
                let server = self.engine.state()[APP].1[KEY_VARIABLE].clone();
                self.lab.set_caller_key(&server, &by_hand()).unwrap();
                Ok(ended(How::Code(0), "aligned"))
            }
            ["sleep", seconds] => tokio::select! {
                biased;
                () = stop.cancelled() => Ok(ended(How::Stopped, "")),
                () = tokio::time::sleep(Duration::from_secs(seconds.parse().unwrap())) => Ok(ended(How::Code(0), "")),
                () = tokio::time::sleep(job.timeout) => Ok(ended(How::TimedOut, "still at it")),
            },
            _ => Err(ProcessError::new(words[0], io::Error::from(io::ErrorKind::NotFound))),
        }
    }
}
