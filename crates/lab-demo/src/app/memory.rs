//! [`MemoryApp`]: the app without a socket, over a [`Database`] that is no more than whether it answers; for the mock
//! engine. Configuration, routes, counters and limits are the app's own, in tokio's time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::service::config::Lookup;
use crate::service::log::Log;

use super::config::Config;
use super::server::App;
use super::store::{DatabaseUrl, SILENT, Unwell};

/// A database that is not there; clones are the same one.
#[derive(Clone, Debug)]
pub struct Database(Arc<watch::Sender<Condition>>);

/// How it is with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It answers.
    Answers,
    /// It takes questions, and is silent.
    Silent,
    /// Nobody listens.
    Gone,
}

impl Database {
    /// One that answers.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Condition::Answers)))
    }

    /// From now on it is so.
    pub fn set(&self, condition: Condition) {
        self.0.send_replace(condition);
    }

    /// Waits for its answer.
    pub(super) async fn answers(&self, limit: Duration) -> Result<(), Unwell> {
        let mut condition = self.0.subscribe();
        let settled = timeout(limit, condition.wait_for(|condition| *condition != Condition::Silent)).await;
        match settled {
            Ok(Ok(condition)) if *condition == Condition::Answers => Ok(()),
            _ => Err(SILENT),
        }
    }
}

/// An instance of the app.
pub struct MemoryApp(TowerToHyperService<Router>);

impl fmt::Debug for MemoryApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its keys are no business of a log's.
        f.write_str("MemoryApp")
    }
}

impl MemoryApp {
    /// Configured as by its environment, but for the database. The error is the line that the app would end with.
    pub fn new(env: Lookup, database: Database) -> Result<Self, String> {
        let given = |name: &str| {
            env(name).or_else(|| match name {
                "APP_LISTEN" => Some("127.0.0.1:0".into()),
                "DATABASE_URL" => Some("sqlite:memory".into()),
                _ => None,
            })
        };
        let mut config = Config::from_env(&given).map_err(|error| error.to_string())?;
        config.store.database = DatabaseUrl::Memory(database);
        let app = App::new(config, Log::nowhere()).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(app).service()))
    }

    /// What it answers. Dropped before that, its caller is gone.
    pub async fn answer(&self, request: Request) -> Response {
        match self.0.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Its page of metrics, where `/metrics` is one.
    pub fn exposition(&self) -> Option<String> {
        let request = Request::get("/metrics").body(Body::empty()).ok()?;
        // Nothing in it waits.
        let response = self.answer(request).now_or_never().filter(|response| response.status().is_success())?;
        let body = response.into_body().collect().now_or_never()?.ok()?;
        String::from_utf8(body.to_bytes().to_vec()).ok()
    }
}
