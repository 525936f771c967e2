//! Is called with events, and answers no HTTP requests.

use subscriber_kit::EVENTS;

wharf_sdk::serve_events!(EVENTS);
