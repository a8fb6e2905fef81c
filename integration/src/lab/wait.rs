//! Waiting for what other processes do, by asking again and again up to a limit.

use std::time::Duration;

use tokio::time::timeout;

/// Between two questions; a person sees no difference, and the asking costs next to nothing.
const PAUSE: Duration = Duration::from_millis(20);

/// What `check` gave once it gave something, or none after the limit.
pub async fn until<T>(limit: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let asking = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            #[expect(clippy::disallowed_methods, reason = "other processes tell nobody when they are done")]
            tokio::time::sleep(PAUSE).await;
        }
    };
    timeout(limit, asking).await.ok()
}
