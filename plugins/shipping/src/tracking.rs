//! Tracking numbers as UPU S10 has them: two letters for the kind (`CP` is a parcel), eight digits, a check digit, and
//! the country that sends it.

/// What the digits weigh.
const WEIGHTS: [u32; 8] = [8, 6, 4, 2, 3, 5, 9, 7];

/// The number of a shipment. Of `serial` the last eight digits count.
pub(crate) fn number(serial: u32, country: &str) -> String {
    let serial = serial % 100_000_000;
    format!("CP{serial:08}{}{country}", check_digit(serial))
}

fn check_digit(serial: u32) -> u32 {
    let mut rest = serial;
    let mut sum = 0;
    for weight in WEIGHTS.iter().rev() {
        sum += weight * (rest % 10);
        rest /= 10;
    }
    match 11 - sum % 11 {
        10 => 0,
        11 => 5,
        digit => digit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_the_standard() {
        // 47312482 9 is its own example.
        assert_eq!(number(47_312_482, "US"), "CP473124829US");
        assert_eq!(number(1, "DE"), "CP000000014DE");
    }

    /// The standard has 5 for two remainders of eleven; all others differ.
    #[test]
    fn a_wrong_digit_is_noticed() {
        for serial in [0, 47_312_482, 99_999_999, 12_345_678] {
            for place in 0..8 {
                let power = 10_u32.pow(place);
                let digit = serial / power % 10;
                let other = serial - digit * power + (digit + 1) % 10 * power;
                let (check, wrong) = (check_digit(serial), check_digit(other));
                assert!(check != wrong || check == 5, "{serial} {other}");
            }
        }
    }
}
