//! A write that arrives at KV and takes effect only when a test lets it, as
//! happens to one that a network or a queue held up.

use axum::response::Response;
use tokio::sync::oneshot;

/// What the test holds. Dropped, it lets the write take effect.
#[derive(Debug)]
pub struct HeldWrite {
    caught: oneshot::Receiver<()>,
    land: oneshot::Sender<()>,
    landed: oneshot::Receiver<()>,
}

impl HeldWrite {
    /// Returns once such a write has arrived.
    pub async fn caught(&mut self) {
        (&mut self.caught).await.unwrap();
    }

    /// Lets it take effect, whatever became of who sent it.
    pub async fn land(self) {
        self.land.send(()).unwrap();
        self.landed.await.unwrap();
    }
}

/// What the server holds.
#[derive(Debug)]
pub(super) struct Hold {
    prefix: String,
    caught: oneshot::Sender<()>,
    land: oneshot::Receiver<()>,
    landed: oneshot::Sender<()>,
}

impl Hold {
    pub(super) fn new(prefix: &str) -> (Self, HeldWrite) {
        let (caught, is_caught) = oneshot::channel();
        let (lands, land) = oneshot::channel();
        let (landed, has_landed) = oneshot::channel();
        let hold = Self { prefix: prefix.to_owned(), caught, land, landed };
        (hold, HeldWrite { caught: is_caught, land: lands, landed: has_landed })
    }

    pub(super) fn concerns(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
    }
}

/// Writes now, or once a hold lets go: then even if the caller is gone.
pub(super) async fn write(
    hold: Option<Hold>,
    write: impl Future<Output = Response> + Send + 'static,
) -> Response {
    let Some(Hold { caught, land, landed, .. }) = hold else { return write.await };
    let late = async move {
        // A test that has ended waits for nothing.
        let _ = caught.send(());
        let _ = land.await;
        let response = write.await;
        let _ = landed.send(());
        response
    };
    tokio::spawn(late).await.unwrap()
}
