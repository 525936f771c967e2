//! Which orders a seed amounts to: the same seed and number always are the same baskets, cards and customers, in the
//! same order. What becomes of them when the host is killed meanwhile is not planned; that the books are right is.

use fastrand::Rng;

use crate::shop::Product;
use crate::wish::{Kind, Mode, Wish};

/// What customers are called.
pub const PEOPLE: [&str; 5] = ["ann", "ben", "cleo", "dan", "eve"];
/// The coupon that some of them have.
pub const COUPON: &str = "WELCOME-10";
/// Goods: what they are called, what they cost, and whether there are only two of them.
pub const GOODS: [(&str, i64, bool); 6] = [
    ("pen", 250, false),
    ("ink", 800, false),
    ("notebook", 1250, false),
    ("bag", 4500, false),
    ("bicycle", 45_000, false),
    ("first edition", 9900, true),
];
/// How many there are of what is rare.
pub const RARE: i64 = 2;
/// Those of the goods that anybody can pay.
const CHEAP: usize = 4;

/// So many orders, each with the place of its customer in [`PEOPLE`]. The first have every kind in both modes.
pub fn wishes(seed: u64, count: usize, products: &[Product]) -> Vec<(usize, Wish)> {
    let mut rng = Rng::with_seed(seed);
    let mut kinds: Vec<_> = Kind::ALL.into_iter().flat_map(|kind| [(kind, Mode::Saga), (kind, Mode::Sync)]).collect();
    rng.shuffle(&mut kinds);
    let mut wishes = Vec::with_capacity(count);
    for number in 0..count {
        let (kind, mode) = kinds.get(number).copied().unwrap_or_else(|| some(&mut rng));
        let currency = if rng.u8(..) < 50 { "USD" } else { "EUR" };
        let wish = Wish {
            key: format!("demo-{seed}-{number}"),
            mode,
            kind,
            items: basket(&mut rng, kind, products),
            currency,
            coupon: (kind == Kind::Coupon).then_some(COUPON),
        };
        wishes.push((rng.usize(..PEOPLE.len()), wish));
    }
    wishes
}

fn some(rng: &mut Rng) -> (Kind, Mode) {
    let mode = if rng.bool() { Mode::Saga } else { Mode::Sync };
    let kind = match rng.u8(..100) {
        0..55 => Kind::Plain,
        55..67 => Kind::Coupon,
        67..75 => Kind::SoldOut,
        75..83 => Kind::Declined,
        83..90 => Kind::Insufficient,
        90..97 => Kind::Flaky,
        _ => Kind::Slow,
    };
    (kind, mode)
}

fn basket(rng: &mut Rng, kind: Kind, products: &[Product]) -> Vec<(String, i64)> {
    let one = |product: Option<&Product>, quantity| product.map(|product| (product.id.clone(), quantity));
    let mut cheap: Vec<_> = products.iter().take(CHEAP).collect();
    rng.shuffle(&mut cheap);
    let special = match kind {
        Kind::SoldOut => one(products.iter().find(|product| product.stock == RARE), RARE + rng.i64(1..=3)),
        Kind::Insufficient => one(products.iter().find(|product| product.price > 10_000), 1),
        Kind::Plain | Kind::Coupon | Kind::Declined | Kind::Flaky | Kind::Slow => None,
    };
    let kinds = rng.usize(1..=3);
    let usual = cheap.into_iter().take(kinds).filter_map(|product| one(Some(product), rng.i64(1..=3)));
    special.into_iter().chain(usual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goods() -> Vec<Product> {
        let stock = |rare| if rare { RARE } else { 1000 };
        let good = |(name, price, rare): (&'static str, i64, bool)| Product {
            id: format!("id-{name}"),
            name,
            price,
            stock: stock(rare),
        };
        GOODS.into_iter().map(good).collect()
    }

    fn shown(seed: u64) -> String {
        format!("{:?}", wishes(seed, 100, &goods()))
    }

    #[test]
    fn a_seed_is_always_the_same_orders_and_another_one_is_others() {
        assert_eq!(shown(7), shown(7));
        assert_ne!(shown(7), shown(8));
    }

    #[test]
    fn every_kind_comes_first_in_both_modes_and_is_what_it_says() {
        let wishes = wishes(3, 200, &goods());
        let mut first: Vec<_> = wishes.iter().take(14).map(|(_, wish)| (wish.kind, wish.mode)).collect();
        first.sort();
        first.dedup();
        assert_eq!(first.len(), 14);
        for (_, wish) in &wishes {
            let of = |name: &str| wish.items.iter().find(|(id, _)| id == name).map_or(0, |(_, quantity)| *quantity);
            assert_eq!(of("id-first edition") > RARE, wish.kind == Kind::SoldOut);
            assert_eq!(of("id-bicycle") > 0, wish.kind == Kind::Insufficient);
            assert_eq!(wish.coupon.is_some(), wish.kind == Kind::Coupon);
            assert!(!wish.items.is_empty());
        }
    }
}
