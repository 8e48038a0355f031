//! What any program needs: where the broker is, and when to stop.

/// The argument that is an address (`--broker` before it is for people), `TOWLINE_BROKER`, or the broker's default.
pub(crate) fn broker() -> String {
    let given = std::env::args().skip(1).find(|argument| argument.contains("://"));
    given.or_else(|| std::env::var("TOWLINE_BROKER").ok()).unwrap_or_else(|| "rsocket://127.0.0.1:9999".to_owned())
}

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn stopped() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
