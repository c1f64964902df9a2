//! [`reins`]: a hold on traffic that goes on: no request starts any more, and what was seen so far is asked for, while those
//! in flight keep their own time.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Summary;

/// Held by who has traffic going on.
#[derive(Debug)]
pub struct Reins {
    halt: CancellationToken,
    asks: mpsc::UnboundedSender<oneshot::Sender<Summary>>,
}

/// Heeded by who sends it.
#[derive(Debug)]
pub struct Orders {
    /// Cancelled: no request is to start any more.
    pub halt: CancellationToken,
    /// Each wants to know what has come since the last one.
    pub asks: mpsc::UnboundedReceiver<oneshot::Sender<Summary>>,
}

/// Both ends.
pub fn reins() -> (Reins, Orders) {
    let halt = CancellationToken::new();
    let (sender, asks) = mpsc::unbounded_channel();
    (Reins { halt: halt.clone(), asks: sender }, Orders { halt, asks })
}

impl Reins {
    /// No request starts any more; those in flight go on until their answer or their timeout.
    pub fn halt(&self) {
        self.halt.cancel();
    }

    /// Asks what has ended since it was last asked. The times of failures are those of all so far. No answer: it is over,
    /// and what it gives in the end is the rest.
    pub fn ask(&self) -> oneshot::Receiver<Summary> {
        let (answer, answered) = oneshot::channel();
        // Who is gone drops the sender, which is no answer.
        let _ = self.asks.send(answer);
        answered
    }
}

impl Orders {
    /// Nobody gives any.
    pub fn none() -> Self {
        reins().1
    }
}
