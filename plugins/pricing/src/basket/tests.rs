//! A few baskets by hand, and many by chance.

use super::*;
use crate::money::{HIGHEST, HIGHEST_FACTOR};

fn wanted(id: &str, price: i64, quantity: i64) -> Wanted {
    let product = Product { id: id.to_owned(), sku: id.to_owned(), name: id.to_owned(), price };
    Wanted { product, quantity, rate: Rate::ONE }
}

fn coupon(reduction: Reduction) -> Coupon {
    Coupon { reduction, minimum: 0 }
}

/// Of each line and then of the whole: discount and total.
fn sums(quote: &Quote) -> Vec<(i64, i64)> {
    let lines = quote.lines.iter().map(|line| (line.discount, line.total));
    lines.chain([(quote.discount, quote.total)]).collect()
}

#[test]
fn a_basket_without_rules_is_a_sum() {
    let quote = quote("EUR", &[wanted("a", 1299, 2), wanted("b", 5, 3)], &[], None).unwrap();
    assert_eq!(sums(&quote), [(0, 2598), (0, 15), (0, 2613)]);
    assert_eq!((quote.subtotal, quote.currency.as_str()), (2613, "EUR"));
}

#[test]
fn many_of_one_are_cheaper() {
    let tiers = [Tier { quantity: 10, percent: 5 }, Tier { quantity: 50, percent: 10 }];
    let of = |quantity: i64| sums(&quote("EUR", &[wanted("a", 100, quantity)], &tiers, None).unwrap())[0];
    assert_eq!([of(9), of(10), of(49), of(50)], [(0, 900), (50, 950), (245, 4655), (500, 4500)]);
    let split = [wanted("a", 100, 4), wanted("b", 100, 9), wanted("a", 100, 6)];
    let split = quote("EUR", &split, &tiers, None).unwrap();
    assert_eq!(sums(&split), [(20, 380), (0, 900), (30, 570), (50, 1850)], "lines with one product count together");
}

#[test]
fn a_coupon_is_divided_among_the_lines() {
    let basket = [wanted("a", 1000, 1), wanted("b", 500, 1), wanted("c", 0, 1)];
    let with = |coupon: Coupon| quote("EUR", &basket, &[], Some(&coupon));
    let percent = with(coupon(Reduction::Percent(10))).unwrap();
    assert_eq!(sums(&percent), [(100, 900), (50, 450), (0, 0), (150, 1350)]);
    let fixed = with(coupon(Reduction::Fixed(100))).unwrap();
    assert_eq!(sums(&fixed), [(67, 933), (33, 467), (0, 0), (100, 1400)]);
    let more_than_all = with(coupon(Reduction::Fixed(9999))).unwrap();
    assert_eq!(sums(&more_than_all), [(1000, 0), (500, 0), (0, 0), (1500, 0)]);
    assert_eq!(with(Coupon { reduction: Reduction::Fixed(1), minimum: 1500 }).unwrap().total, 1499);
    let refused = with(Coupon { reduction: Reduction::Fixed(1), minimum: 1501 }).unwrap_err();
    assert_eq!(refused, Refusal::BelowMinimum(1501));
}

#[test]
fn what_is_no_amount_any_more_is_refused() {
    assert_eq!(quote("EUR", &[wanted("a", HIGHEST, 1)], &[], None).unwrap().total, HIGHEST);
    assert_eq!(quote("EUR", &[wanted("a", HIGHEST, 2)], &[], None).unwrap_err(), Refusal::TooMuch);
    let two = [wanted("a", HIGHEST, 1), wanted("b", 1, 1)];
    assert_eq!(quote("EUR", &two, &[], None).unwrap_err(), Refusal::TooMuch);
    let half = quote("EUR", &two, &[], Some(&coupon(Reduction::Percent(50))));
    assert_eq!(half.unwrap_err(), Refusal::TooMuch);
    let rate = Rate { numerator: HIGHEST_FACTOR, denominator: 1 };
    let dear = Wanted { rate, ..wanted("a", HIGHEST, 1) };
    assert_eq!(quote("EUR", &[dear], &[], None).unwrap_err(), Refusal::TooMuch);
}

/// xorshift64*: enough to choose by, and the same for the same seed everywhere.
struct Dice(u64);

impl Dice {
    /// Up to `most`, of all magnitudes: small numbers, where rounding shows, as often as large ones.
    fn number(&mut self, most: i64) -> i64 {
        let digits = self.below(i64::from(most.ilog10()) + 2);
        let magnitude = 10_i64.checked_pow(u32::try_from(digits).unwrap()).unwrap_or(most);
        self.below(magnitude.min(most) + 1)
    }

    fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        i64::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 1).unwrap() % bound
    }

    fn rate(&mut self) -> Rate {
        Rate { numerator: 1 + self.number(HIGHEST_FACTOR - 1), denominator: 1 + self.number(HIGHEST_FACTOR - 1) }
    }

    fn basket(&mut self) -> Vec<Wanted> {
        let line = |dice: &mut Self| {
            let id = ["a", "b", "c", "d"][usize::try_from(dice.below(4)).unwrap()];
            let rate = if dice.below(2) == 0 { Rate::ONE } else { dice.rate() };
            Wanted { rate, ..wanted(id, dice.number(100_000_000_000), 1 + dice.number(9_999)) }
        };
        (0..=self.below(12)).map(|_| line(self)).collect()
    }

    fn coupon(&mut self) -> Option<Coupon> {
        match self.below(3) {
            0 => None,
            1 => Some(coupon(Reduction::Percent(1 + self.below(100)))),
            _ => Some(coupon(Reduction::Fixed(1 + self.number(HIGHEST - 1)))),
        }
    }

    fn tiers(&mut self) -> Vec<Tier> {
        (0..self.below(4)).map(|_| Tier { quantity: 2 + self.number(5_000), percent: 1 + self.below(100) }).collect()
    }
}

fn by_chance(mut check: impl FnMut(&mut Dice)) {
    for seed in 1..=20_000_u64 {
        check(&mut Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    }
}

#[test]
fn lines_sum_to_the_whole_and_nothing_is_negative_or_free_by_mistake() {
    let (mut quoted, mut refused) = (0, 0);
    by_chance(|dice| {
        let (basket, tiers, coupon) = (dice.basket(), dice.tiers(), dice.coupon());
        let said = format!("{basket:?} {tiers:?} {coupon:?}");
        let Ok(quote) = quote("EUR", &basket, &tiers, coupon.as_ref()) else {
            refused += 1;
            return;
        };
        quoted += 1;
        let mut whole = (0_i128, 0_i128);
        for (line, wanted) in quote.lines.iter().zip(&basket) {
            assert!(line.unit_price >= 0 && line.discount >= 0 && line.total >= 0, "{said}");
            let gross = i128::from(line.unit_price) * i128::from(wanted.quantity);
            assert_eq!(gross, i128::from(line.discount) + i128::from(line.total), "{said}");
            assert_nearest(line.unit_price, wanted.product.price, wanted.rate);
            whole = (whole.0 + i128::from(line.discount), whole.1 + i128::from(line.total));
        }
        assert_eq!(quote.lines.len(), basket.len(), "{said}");
        assert_eq!(whole, (i128::from(quote.discount), i128::from(quote.total)), "{said}");
        assert_eq!(quote.subtotal, quote.discount + quote.total, "{said}");
        if tiers.is_empty() {
            let off = match coupon.map(|coupon| coupon.reduction) {
                None => 0,
                Some(Reduction::Fixed(amount)) => amount.min(quote.subtotal),
                Some(Reduction::Percent(percent)) => {
                    assert_nearest(quote.discount, quote.subtotal, Rate { numerator: percent, denominator: 100 });
                    quote.discount
                }
            };
            assert_eq!(quote.discount, off, "{said}");
        }
    });
    assert!(quoted > 10_000 && refused > 100, "{quoted} {refused}");
}

/// What half-even means, said otherwise: nobody is nearer, and of two that are as near it is the even one.
fn assert_nearest(rounded: i64, amount: i64, rate: Rate) {
    let (numerator, denominator) = (i128::from(rate.numerator), i128::from(rate.denominator));
    let twice = 2 * (i128::from(rounded) * denominator - i128::from(amount) * numerator).abs();
    assert!(twice <= denominator, "{amount} {rate:?} is not {rounded}");
    assert!(twice != denominator || rounded % 2 == 0, "{amount} {rate:?} is a half, {rounded} is odd");
}

#[test]
fn a_conversion_keeps_the_order_and_comes_back() {
    let (mut halves, mut back) = (0, 0);
    by_chance(|dice| {
        let (amount, more, rate) = (dice.number(HIGHEST), dice.number(1000), dice.rate());
        assert_eq!(Rate::ONE.convert(amount), Ok(amount));
        let even = Rate { numerator: rate.numerator, denominator: 2 };
        for rate in [rate, even] {
            let Ok(there) = rate.convert(amount) else { continue };
            assert_nearest(there, amount, rate);
            halves += usize::from(rate == even && rate.numerator % 2 == 1 && amount % 2 == 1);
            if let Ok(larger) = rate.convert(amount.saturating_add(more)) {
                assert!(there <= larger, "{amount} {more} {rate:?}");
            }
        }
        // Into a finer currency and back nothing is lost.
        if rate.numerator >= rate.denominator
            && let Ok(there) = rate.convert(amount)
        {
            back += 1;
            assert_eq!(rate.inverse().convert(there), Ok(amount), "{rate:?}");
        }
    });
    assert!(halves > 500 && back > 2_000, "{halves} {back}");
}

#[test]
fn parts_are_the_exact_ones_rounded_up_or_down() {
    by_chance(|dice| {
        let weights: Vec<_> = (0..=dice.below(20)).map(|_| dice.number(HIGHEST / 32)).collect();
        let total: i64 = weights.iter().sum();
        let whole = dice.number(HIGHEST).min(total);
        let parts = money::divide(whole, &weights);
        assert_eq!((parts.len(), parts.iter().sum::<i64>()), (weights.len(), whole), "{weights:?}");
        for (part, weight) in parts.iter().zip(&weights) {
            assert!(0 <= *part && part <= weight, "{whole} {weights:?}: {parts:?}");
            let exact = i128::from(whole) * i128::from(*weight);
            let off = (i128::from(*part) * i128::from(total) - exact).abs();
            assert!(total == 0 || off < i128::from(total), "{whole} {weights:?}: {parts:?}");
        }
    });
}

#[test]
fn the_order_of_lines_does_not_change_the_whole() {
    by_chance(|dice| {
        let (mut basket, tiers, coupon) = (dice.basket(), dice.tiers(), dice.coupon());
        let one = quote("EUR", &basket, &tiers, coupon.as_ref()).map(|quote| (quote.subtotal, quote.total));
        let by = usize::try_from(dice.below(12)).unwrap() % basket.len();
        basket.rotate_left(by);
        let other = quote("EUR", &basket, &tiers, coupon.as_ref()).map(|quote| (quote.subtotal, quote.total));
        assert_eq!(one, other);
    });
}
