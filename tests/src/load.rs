//! Clients that ask again and again until they are told to stop, or until nobody accepts them any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use crate::Connection;

/// See the module header. Each client has a connection of its own; every request must be answered 200.
#[derive(Debug)]
pub struct Load {
    stopping: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    /// So many clients that ask for a path until nobody accepts any more. A connection is used until an answer says that
    /// it closes.
    pub fn until_nobody_accepts(address: SocketAddr, path: &'static str, clients: usize) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let client = |_| tokio::spawn(ask_until_nobody_accepts(address, path, Arc::clone(&stopping)));
        let clients = (0..clients).map(client).collect();
        Self { stopping, clients }
    }

    /// From now on nobody need accept. Say it before the signal.
    pub fn expect_stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Waits for the clients; fails if one of them had a bad answer, or none at all.
    pub async fn all_answered(self) {
        for client in self.clients {
            assert!(client.await.expect("no request fails") > 0);
        }
    }
}

async fn ask_until_nobody_accepts(address: SocketAddr, path: &str, stopping: Arc<AtomicBool>) -> usize {
    let mut requests = 0;
    while let Ok(mut connection) = Connection::open(address).await {
        let mut fresh = true;
        loop {
            let answer = match connection.get(path).await {
                Ok(answer) => answer,
                // The system took the connection in the moment in which the process left.
                Err(_) if fresh && stopping.load(Ordering::Acquire) => return requests,
                Err(error) => panic!("request {requests} failed: {error}"),
            };
            fresh = false;
            answer.assert_status(200);
            requests += 1;
            if answer.header("connection") == "close" {
                break;
            }
        }
    }
    requests
}
