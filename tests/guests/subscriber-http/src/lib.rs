//! Publishes events, and receives them by HTTP: the same without a typed handler.

use subscriber_kit::ROUTER;

wharf_sdk::serve!(ROUTER);
