//! The app as a service of the embedded stack: started with the database's place, probed, routed to, and retired only when
//! its last request is over and its counters are read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::gateway::Gateway;
use super::health::new_instance;
use super::supervisor::{Context, Managed, Slot, status};
use crate::call::unreadable;
use crate::child::{Child, Program};
use crate::log::Log;
use lab_core::engine::{APP, DB, EngineError, Health, Retired, RunState, ServiceStatus};
use lab_system::files;

/// The users' database, in the lab's folder.
pub(super) const DATABASE_FILE: &str = "users.db";

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

    /// Starts an instance, and waits until it is healthy; an instance that is not is ended.
    async fn launch(&self, wanted: &BTreeMap<String, String>) -> Result<Arc<Child>, EngineError> {
        let instance = new_instance(APP);
        let database = self.context.folder.path(DATABASE_FILE);
        // SQLite would follow a link, and wait at a pipe.
        files::check_state(&database).map_err(|error| unreadable(&database, &error).for_service(DB))?;
        let mut env = BTreeMap::from([("DATABASE_URL".to_owned(), database_url(&database))]);
        env.extend(wanted.clone());
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

    /// Leads requests to a new instance. One that ends meanwhile is an error.
    async fn route(&self, child: &Arc<Child>) -> Result<(), EngineError> {
        self.gateway.route(Some(child)).await?;
        match child.ended() {
            Some(_) => Err(child.exited(APP, &self.log).await),
            None => Ok(()),
        }
    }

    /// The instance serves from now on. When it ends, however that comes about, no request goes to its address any more: the
    /// next process to get that port may be anybody's.
    fn serve(&self, child: Arc<Child>) {
        self.slot.put(Some(child.clone()));
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            child.wait().await;
            gateway.unroute_from(&child).await;
        });
    }

    /// Lets it finish its requests, reads its counters a last time, and ends it.
    async fn retire(&self, child: &Child, abrupt: bool) -> Retired {
        let exposition = if abrupt { None } else { self.context.health.last_exposition(&child.address).await };
        child.stop(abrupt).await;
        Retired { instance: child.instance.clone(), exposition }
    }

    pub(super) async fn status(&self, database_frozen: bool) -> ServiceStatus {
        let mut status = status(APP, &self.slot, self.context.env(APP), &self.log);
        match (status.state, &status.address) {
            // It would say so itself, after its own timeout.
            (RunState::Running, _) if database_frozen => status.detail = Some("its database is paused".to_owned()),
            (RunState::Running, Some(address)) => match self.context.health.ask(address).await {
                Ok(()) => status.health = Health::Healthy,
                Err(detail) => status.detail = Some(detail),
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
        self.serve(child);
        Ok(())
    }

    async fn replace(&self, env: &BTreeMap<String, String>) -> Result<Option<Retired>, EngineError> {
        let old = self.slot.live();
        let new = self.launch(env).await?;
        if let Err(error) = self.route(&new).await {
            // Back to the old one, if that still runs; what it says of that route does not matter any more.
            let _ = self.gateway.route(old.as_ref().filter(|old| old.ended().is_none())).await;
            new.stop(true).await;
            return Err(error);
        }
        self.serve(new);
        match old {
            Some(old) => Ok(Some(self.retire(&old, false).await)),
            None => Ok(None),
        }
    }

    async fn stop(&self, abrupt: bool) -> Option<Retired> {
        let child = self.slot.live()?;
        if !abrupt {
            // New requests are refused first, those under way are finished.
            self.gateway.unroute().await;
        }
        let retired = self.retire(&child, abrupt).await;
        self.gateway.unroute().await;
        self.slot.put(None);
        Some(retired)
    }
}

/// A path as sqlx reads it: what would end the path, or be decoded, is percent-encoded.
fn database_url(path: &Path) -> String {
    let mut url = "sqlite:".to_owned();
    for character in path.to_string_lossy().chars() {
        match character {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3F"),
            '#' => url.push_str("%23"),
            other => url.push(other),
        }
    }
    url
}
