//! The bounds on a connection, in the form in which connections use them.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::Connections;

/// Shared by the connections that were opened under one configuration; a clone costs a count.
#[derive(Debug, Clone)]
pub(crate) struct Limits(Arc<Values>);

/// What [`Limits`] holds; the fields mean what those of [`Connections`] say.
#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) tls_handshake_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) body_pace: BodyPace,
    pub(super) max_requests: u64,
    pub(super) max_headers: usize,
    pub(super) head_bytes: usize,
    pub(super) http2: Http2,
}

#[derive(Debug)]
pub(super) struct Http2 {
    pub(super) max_streams: u32,
    pub(super) stream_window: u32,
    pub(super) connection_window: u32,
    pub(super) keep_alive_interval: Duration,
    pub(super) keep_alive_timeout: Duration,
    pub(super) max_control_frames: u32,
}

/// How fast a request body must come; an extension of every request that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyPace {
    /// Longest time between two frames while somebody waits.
    pub(crate) gap: Duration,
    /// Bytes a second on average, after some time; 0 for none.
    pub(crate) min_rate: u64,
}

impl Limits {
    pub(crate) fn new(connections: &Connections) -> Self {
        let http2 = &connections.http2;
        // Checked by the configuration to be far below these types' bounds.
        let narrow = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX >> 1);
        Self(Arc::new(Values {
            tls_handshake_timeout: connections.tls_handshake_timeout.get(),
            first_byte_timeout: connections.first_byte_timeout.get(),
            head_timeout: connections.head_timeout.get(),
            idle_timeout: connections.idle_timeout.get(),
            write_timeout: connections.write_timeout.get(),
            body_pace: BodyPace { gap: connections.body_timeout.get(), min_rate: connections.min_rate.get() },
            max_requests: connections.max_requests.into(),
            max_headers: connections.max_headers as usize,
            head_bytes: narrow(connections.head_bytes.get()) as usize,
            http2: Http2 {
                max_streams: http2.max_streams,
                stream_window: narrow(http2.stream_window.get()),
                connection_window: narrow(http2.connection_window.get()),
                keep_alive_interval: http2.keep_alive_interval.get(),
                keep_alive_timeout: http2.keep_alive_timeout.get(),
                max_control_frames: http2.max_control_frames,
            },
        }))
    }
}

impl Values {
    /// Prepares the socket of a new connection.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub(super) fn apply(&self, socket: &TcpStream) -> io::Result<()> {
        // Small writes (events of a stream) must leave at once.
        socket.set_nodelay(true)?;
        // The kernel takes megabytes that nobody reads, and keeps them for long when the process has closed the socket.
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_tcp_user_timeout(
            socket,
            u32::try_from(self.write_timeout.as_millis()).unwrap_or(u32::MAX),
        )?;
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(&Connections::default())
    }
}

impl Deref for Limits {
    type Target = Values;

    fn deref(&self) -> &Values {
        &self.0
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::config;

    #[tokio::test]
    async fn the_kernel_keeps_what_nobody_reads_no_longer_than_we_do() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connections = Connections { write_timeout: config::Duration::millis(1500), ..Connections::default() };
        Limits::new(&connections).apply(&socket).unwrap();
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(&socket).unwrap(), 1500);
        assert!(socket.nodelay().unwrap());
    }
}
