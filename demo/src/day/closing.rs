//! The end of the day: the carrier, one order of each kind as it went, the books, and the books once more after
//! everything was told again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Day, told};
use crate::Trouble;
use crate::books::Books;
use crate::checks::{self, Check};
use crate::contract;
use crate::http::{list, number, text};
use crate::wish::{Kind, Mode};

/// How long everything may take until nothing goes on any more. Leases and timeouts of the services are in it.
const PATIENCE: Duration = Duration::from_secs(180);
/// Parcels that arrive on the same day.
const DELIVERED: usize = 3;

impl Day<'_> {
    pub(super) async fn close(&mut self) -> Result<Vec<Check>, Trouble> {
        self.story.progress("waiting until nothing goes on any more");
        let began = Instant::now();
        let books = Books::settled(&self.shop, PATIENCE).await?;
        self.story.line(&format!("nothing goes on any more after {}", told::span(began.elapsed())));
        let sent = books.orders.iter().filter(|(_, order)| order.status == "shipped");
        let sent: Vec<_> = sent.map(|(id, _)| id.clone()).take(DELIVERED).collect();
        for id in &sent {
            let path = format!("/api/shipping/{id}/deliver");
            self.shop.gateway.post(path, &Value::Null).token(&self.shop.boss.token).expect(&[200]).await?;
        }
        self.story.line(&format!("the carrier delivers {} parcels", sent.len()));
        let books = self.delivered(sent.len()).await?;

        self.story.chapter("One of each");
        self.examples(&books).await?;

        self.story.chapter("The books");
        let mut all = checks::all(&books, &self.promises);
        self.story.progress("analytics forgets everything and is told again");
        all.push(self.rebuilt(&books).await?);
        self.story.progress("everybody is told everything once more");
        all.push(self.told_twice(&books).await?);
        all.push(contract::check(self.host).await?);
        for Check { sentence, seen, broken } in &all {
            let mark = if broken.is_empty() { "ok   " } else { "BROKEN" };
            self.story.line(&format!("{mark} {sentence} ({seen})"));
        }
        Ok(all)
    }

    /// That a parcel arrived is told by an event, too.
    async fn delivered(&self, parcels: usize) -> Result<Books, Trouble> {
        let began = Instant::now();
        loop {
            let books = Books::settled(&self.shop, PATIENCE).await?;
            let delivered = books.orders.values().filter(|order| order.status == "delivered").count();
            if delivered >= parcels || began.elapsed() > PATIENCE {
                return Ok(books);
            }
        }
    }

    /// How the first order of each kind and mode went.
    async fn examples(&mut self, books: &Books) -> Result<(), Trouble> {
        let mut first = BTreeMap::<(Kind, Mode), _>::new();
        for (wish, placed) in &self.placed {
            first.entry((wish.kind, wish.mode)).or_insert(placed);
        }
        let mut lines = Vec::new();
        for ((kind, mode), placed) in first {
            let answer = format!("{} after {}", placed.status, told::span(placed.took));
            lines.push(format!("{}, {}: {answer}", kind.name(), mode.name()));
            let Some(id) = &placed.order else { continue };
            let path = format!("/api/orders/{id}/history");
            let history = self.shop.read(&path).await?;
            let events = list(&history, "items");
            let way: Vec<_> = events.iter().map(|event| text(event, "event")).collect();
            let mut line = format!("    {}", way.join(" → "));
            if let Some(reason) = events.iter().find_map(|event| event.pointer("/data/reason")?.as_str()) {
                line.push_str(&format!(" ({reason})"));
            }
            if let Some(order) = books.orders.get(id) {
                line.push_str(&format!(", {}", told::money(order.total, &order.currency)));
            }
            lines.push(line);
            lines.push(format!("    {}", self.shop.gateway.url(&path)));
        }
        lines.iter().for_each(|line| self.story.line(line));
        Ok(())
    }

    /// Projections can be thrown away.
    async fn rebuilt(&self, books: &Books) -> Result<Check, Trouble> {
        let reset = self.shop.gateway.post("/api/analytics/reset", &Value::Null);
        reset.token(&self.shop.boss.token).expect(&[204]).await?;
        let empty = self.shop.read("/api/analytics/summary").await?;
        self.shop.replay("analytics", "shop").await?;
        let again = Books::settled(&self.shop, PATIENCE).await?;
        let mut broken = Vec::new();
        if number(empty.get("users").unwrap_or(&Value::Null), "registered") != 0 {
            broken.push(format!("after the reset there is still {empty}"));
        }
        if (&again.summary, &again.top) != (&books.summary, &books.top) {
            broken.push(format!("it was {}, and is {}", books.summary, again.summary));
        }
        let sentence = "analytics, dropped and rebuilt by replay, has the same numbers as before";
        Ok(Check { sentence, seen: "one replay".to_owned(), broken })
    }

    /// Every event that ever was comes once more to everybody.
    async fn told_twice(&self, books: &Books) -> Result<Check, Trouble> {
        let subscriptions = self.shop.subscriptions().await?;
        for (service, name, _) in &subscriptions {
            self.shop.replay(service, name).await?;
        }
        let again = Books::settled(&self.shop, PATIENCE).await?;
        let broken =
            if again == *books { Vec::new() } else { vec![format!("the books were {books:?}, and are {again:?}")] };
        let seen = format!("{} subscriptions", subscriptions.len());
        Ok(Check { sentence: "everything told twice to everybody changes nothing", seen, broken })
    }
}
