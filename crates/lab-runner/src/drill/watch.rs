//! [`Watch`]: a lab with everything that a referee needs, and what it waits for.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::lab::Lab;
use lab_core::engine::Engine;
use lab_scenario::Plan;
use lab_telemetry::wire::Wire;

/// A lab with a drill.
#[derive(Clone)]
pub struct Watch {
    /// State on disk.
    pub lab: Lab,
    /// Engine of the lab.
    pub engine: Arc<dyn Engine>,
    /// Access to the network. The referee marks its requests as probes.
    pub wire: Arc<dyn Wire>,
    /// Scenario of the incident, with the values of this drill.
    pub plan: Arc<Plan>,
}

/// Pauses of a drill, ordered from outside.
#[derive(Debug, Default)]
pub struct Pause {
    /// True while the drill is paused. `None` if it is never paused any more.
    orders: Option<watch::Receiver<bool>>,
    is_on: bool,
}

impl Pause {
    /// Follows the orders of a sender. If it is dropped, the drill stays as it is.
    pub fn from_orders(mut orders: watch::Receiver<bool>) -> Self {
        orders.mark_changed();
        Self { orders: Some(orders), is_on: false }
    }

    /// Whether the last order that [`Pause::changed`] returned for is a pause.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Waits for another order. It can be dropped.
    pub(super) async fn changed(&mut self) {
        while let Some(orders) = &mut self.orders {
            if orders.changed().await.is_err() {
                self.orders = None;
                break;
            }
            let is_on = *orders.borrow_and_update();
            if is_on != self.is_on {
                self.is_on = is_on;
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Waits for a task, if there is one, and removes it.
pub(super) async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(running) => {
            let result = running.await;
            *task = None;
            result
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_orders_that_change_something_are_news() {
        let (sender, orders) = watch::channel(false);
        let mut pause = Pause::from_orders(orders);
        let news = async |pause: &mut Pause| {
            let waited = tokio::time::timeout(Duration::from_secs(1), pause.changed()).await;
            (waited.is_ok(), pause.is_on())
        };
        assert_eq!(news(&mut pause).await, (false, false));
        sender.send(true).unwrap();
        assert_eq!(news(&mut pause).await, (true, true));
        sender.send(true).unwrap();
        assert_eq!(news(&mut pause).await, (false, true));
        sender.send(false).unwrap();
        assert_eq!(news(&mut pause).await, (true, false));
        // A drill that continues during a pause stays paused without its sender.
        sender.send(true).unwrap();
        let mut late = Pause::from_orders(sender.subscribe());
        drop(sender);
        assert_eq!(news(&mut late).await, (true, true));
        assert_eq!(news(&mut late).await, (false, true));
        assert_eq!(news(&mut Pause::default()).await, (false, false));
    }
}
