//! Publishes events, and is called with them: typed handler and HTTP in one component.

use subscriber_kit::{EVENTS, ROUTER};

wharf_sdk::serve!(ROUTER);
wharf_sdk::serve_events!(EVENTS);
