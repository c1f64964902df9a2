//! Control of running traffic: stop starting requests while those in flight complete, and collect intermediate summaries.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Summary;

/// Controls running traffic.
#[derive(Debug)]
pub struct TrafficControl {
    halt: CancellationToken,
    summary_requests: mpsc::UnboundedSender<oneshot::Sender<Summary>>,
}

/// The sender's end of a [`TrafficControl`].
#[derive(Debug)]
pub struct TrafficCommands {
    /// Once cancelled, no further request starts.
    pub halt: CancellationToken,
    /// Each request is answered with a summary of the traffic since the previous one.
    pub summary_requests: mpsc::UnboundedReceiver<oneshot::Sender<Summary>>,
}

/// Creates both ends.
pub fn traffic_control() -> (TrafficControl, TrafficCommands) {
    let halt = CancellationToken::new();
    let (sender, receiver) = mpsc::unbounded_channel();
    let control = TrafficControl { halt: halt.clone(), summary_requests: sender };
    (control, TrafficCommands { halt, summary_requests: receiver })
}

impl TrafficControl {
    /// Prevents further requests from starting. Those in flight continue until their response or timeout.
    pub fn halt(&self) {
        self.halt.cancel();
    }

    /// Requests a summary of the traffic since the previous request. Its failure times cover all traffic so far. The channel
    /// closes without a value if the traffic has ended; its final summary then holds the rest.
    pub fn request_summary(&self) -> oneshot::Receiver<Summary> {
        let (sender, receiver) = oneshot::channel();
        // If the traffic has ended, this drops the sender and closes the channel.
        let _ = self.summary_requests.send(sender);
        receiver
    }
}

impl TrafficCommands {
    /// Commands of a control that was dropped, for traffic that is not controlled.
    pub fn none() -> Self {
        traffic_control().1
    }
}
