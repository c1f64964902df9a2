//! In-memory app without a socket, for the mock engine. Configuration, routes, metrics and limits are those of the real app, using
//! tokio's clock. The [`Database`] only simulates whether it answers.

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

use crate::service::config::{ConfigError, Lookup};
use crate::service::log::Log;

use super::config::Config;
use super::server::App;
use super::store::{DatabaseUrl, NO_ANSWER, Unavailable};

/// Simulated database. Clones share their condition.
#[derive(Clone, Debug)]
pub struct Database(Arc<watch::Sender<Condition>>);

/// Condition of a simulated database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Queries succeed.
    Answers,
    /// Queries get no answer.
    Silent,
    /// Connections are refused.
    Gone,
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// Creates a database that answers.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Condition::Answers)))
    }

    /// Changes the condition. Pending queries observe the change.
    pub fn set(&self, condition: Condition) {
        self.0.send_replace(condition);
    }

    /// Simulates a query with a timeout.
    pub(super) async fn answers(&self, limit: Duration) -> Result<(), Unavailable> {
        let mut condition = self.0.subscribe();
        let settled = timeout(limit, condition.wait_for(|condition| *condition != Condition::Silent)).await;
        match settled {
            Ok(Ok(condition)) if *condition == Condition::Answers => Ok(()),
            _ => Err(NO_ANSWER),
        }
    }
}

/// Reason why an app does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the configuration is missing or malformed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The metrics could not be registered.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// Instance of the app without a socket.
pub struct MemoryApp(TowerToHyperService<Router>);

impl fmt::Debug for MemoryApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys must not appear in logs.
        f.write_str("MemoryApp")
    }
}

impl MemoryApp {
    /// Creates an app from environment variables, with a simulated database. The error is the one with which the real app
    /// would exit.
    pub fn new(env: Lookup, database: Database) -> Result<Self, StartError> {
        let given = |name: &str| {
            env(name).or_else(|| match name {
                "APP_LISTEN" => Some("127.0.0.1:0".into()),
                "DATABASE_URL" => Some("sqlite:memory".into()),
                _ => None,
            })
        };
        let mut config = Config::from_env(&given)?;
        config.store.database = DatabaseUrl::Memory(database);
        let app = App::new(config, Log::disabled())?;
        Ok(Self(Arc::new(app).service()))
    }

    /// Answers a request. Dropping the future simulates a caller that disconnects.
    pub async fn answer(&self, request: Request) -> Response {
        match self.0.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Returns the metrics page, or `None` if it is not at `/metrics`.
    pub fn exposition(&self) -> Option<String> {
        let request = Request::get("/metrics").body(Body::empty()).ok()?;
        // The handler never waits, so the response is ready at once.
        let response = self.answer(request).now_or_never().filter(|response| response.status().is_success())?;
        let body = response.into_body().collect().now_or_never()?.ok()?;
        String::from_utf8(body.to_bytes().to_vec()).ok()
    }
}
