//! The app in the embedded stack. A new instance is started, probed and routed to; an old one is retired only after its last
//! request has finished and its counters have been read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::context::Context;
use super::gateway::Gateway;
use super::health::new_instance;
use super::slot::{Slot, status};
use super::transition::Managed;
use crate::child::{Child, Program};
use crate::log::Log;
use crate::{DATABASE_FILE, unreadable};
use lab_core::engine::{APP, DB, EngineError, Health, Retired, RunState, ServiceStatus};
use lab_system::files;

pub(super) struct App {
    context: Arc<Context>,
    gateway: Arc<Gateway>,
    slot: Slot,
    log: Arc<Log>,
}

impl App {
    pub(super) fn new(context: Arc<Context>, gateway: Arc<Gateway>) -> Result<Self, EngineError> {
        let log = context.log(APP)?;
        Ok(Self { context, gateway, slot: Slot::default(), log })
    }

    pub(super) fn log(&self) -> Arc<Log> {
        self.log.clone()
    }

    /// Starts an instance and waits until it is healthy. Stops it if it does not become healthy.
    async fn launch(&self, desired: &BTreeMap<String, String>) -> Result<Arc<Child>, EngineError> {
        let instance = new_instance(APP);
        let database = self.context.folder.path(DATABASE_FILE);
        // SQLite would follow a symbolic link and block on a pipe.
        files::check_state(&database).map_err(|error| unreadable(&database, &error).for_service(DB))?;
        let mut env = BTreeMap::from([("DATABASE_URL".to_owned(), database_url(&database))]);
        env.extend(desired.clone());
        env.insert("APP_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
        env.insert("APP_INSTANCE".to_owned(), instance.clone());
        let program = Program { exe: &self.context.exe, service: APP, env, log: self.log.clone() };
        let child = Arc::new(Child::start(program, instance).await?);
        if let Err(error) = self.context.health.until_healthy(&child, APP, &self.log).await {
            child.stop(true).await;
            return Err(error);
        }
        Ok(child)
    }

    /// Routes requests to a new instance. Fails if the instance exits meanwhile.
    async fn route(&self, child: &Arc<Child>) -> Result<(), EngineError> {
        self.gateway.route(Some(child)).await?;
        match child.exit_status() {
            Some(_) => Err(child.exited(APP, &self.log).await),
            None => Ok(()),
        }
    }

    /// Makes the instance the active one. When it exits, for whatever reason, its route is removed, because the port may be
    /// reused by an unrelated process.
    fn activate(&self, child: Arc<Child>) {
        self.slot.put(Some(child.clone()));
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            child.wait().await;
            gateway.unroute_from(&child).await;
        });
    }

    /// Waits for its requests to finish, reads its counters a last time and stops it.
    async fn retire(&self, child: &Child, abrupt: bool) -> Retired {
        let exposition = if abrupt { None } else { self.context.health.last_exposition(&child.address).await };
        child.stop(abrupt).await;
        Retired { instance: child.instance.clone(), exposition }
    }

    pub(super) async fn status(&self, database_frozen: bool) -> ServiceStatus {
        let mut status = status(APP, &self.slot, self.context.env(APP), &self.log);
        match (status.state, &status.address) {
            // The app would report this itself, but only after its own timeout.
            (RunState::Running, _) if database_frozen => status.detail = Some("its database is paused".to_owned()),
            (RunState::Running, Some(address)) => match self.context.health.probe(address).await {
                Ok(()) => status.health = Health::Healthy,
                Err(reason) => status.detail = Some(reason.to_string()),
            },
            _ => {}
        }
        status
    }
}

#[async_trait]
impl Managed for App {
    fn name(&self) -> &'static str {
        APP
    }

    fn slot(&self) -> &Slot {
        &self.slot
    }

    async fn start(&self, env: &BTreeMap<String, String>) -> Result<(), EngineError> {
        let child = self.launch(env).await?;
        if let Err(error) = self.route(&child).await {
            self.gateway.unroute().await;
            child.stop(true).await;
            return Err(error);
        }
        self.activate(child);
        Ok(())
    }

    async fn replace(&self, env: &BTreeMap<String, String>) -> Result<Option<Retired>, EngineError> {
        let old = self.slot.child();
        let new = self.launch(env).await?;
        if let Err(error) = self.route(&new).await {
            // Route back to the old instance if it is still running. The first error is the one to report.
            let _ = self.gateway.route(old.as_ref().filter(|old| old.exit_status().is_none())).await;
            new.stop(true).await;
            return Err(error);
        }
        self.activate(new);
        match old {
            Some(old) => Ok(Some(self.retire(&old, false).await)),
            None => Ok(None),
        }
    }

    async fn stop(&self, abrupt: bool) -> Option<Retired> {
        let child = self.slot.child()?;
        if !abrupt {
            // Reject new requests first, then finish those in flight.
            self.gateway.unroute().await;
        }
        let retired = self.retire(&child, abrupt).await;
        self.gateway.unroute().await;
        self.slot.put(None);
        Some(retired)
    }
}

/// Converts a path to a URL for sqlx, which decodes percent-encoded characters.
fn database_url(path: &Path) -> String {
    let absolute = std::path::absolute(path).ok().and_then(|path| reqwest::Url::from_file_path(path).ok());
    absolute.map_or_else(|| format!("sqlite:{}", path.display()), |url| format!("sqlite://{}", url.path()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::database_url;

    #[test]
    fn characters_with_a_meaning_in_urls_are_encoded() {
        assert_eq!(database_url(Path::new("/labs/a b/users.db")), "sqlite:///labs/a%20b/users.db");
        assert_eq!(database_url(Path::new("/50%/#1?/users.db")), "sqlite:///50%25/%231%3F/users.db");
    }
}
