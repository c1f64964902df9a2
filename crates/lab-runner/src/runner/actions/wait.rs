//! The `wait` action.

use std::time::Duration;

use tokio::time::timeout;

use super::ActionResult;
use crate::runner::context::Context;

pub(super) async fn wait(context: &Context, duration: Duration) -> ActionResult {
    let over = timeout(duration, context.stop.cancelled()).await.is_err();
    let detail = over.then(|| format!("waited {duration:?}"));
    ActionResult { detail, ..ActionResult::default() }
}
