//! Lines as `ls -l` prints them: clients show them as they are.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: i64 = 86_400;
/// Beyond half a year, the year says more than the time of day.
const RECENT_S: i64 = 182 * DAY_S;

/// The line of a file, without its name. Times are in UTC.
pub fn line(metadata: &Metadata, now_s: i64) -> String {
    let (links, user, group, size) = (metadata.nlink(), metadata.uid(), metadata.gid(), metadata.size());
    format!("{} {links:>4} {user:<8} {group:<8} {size:>8} {} ", mode(metadata.mode()), date(metadata.mtime(), now_s))
}

fn mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let mut text = String::from(kind);
    for (shift, special_bit, special) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special_bit != 0) {
            (true, true) => special,
            (false, true) => special.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn date(time_s: i64, now_s: i64) -> String {
    let (year, month, day) = civil(time_s.div_euclid(DAY_S));
    let month = MONTHS[month as usize - 1];
    if (0..RECENT_S).contains(&(now_s - time_s)) {
        let minute = time_s.rem_euclid(DAY_S) / 60;
        format!("{month} {day:>2} {:02}:{:02}", minute / 60, minute % 60)
    } else {
        format!("{month} {day:>2}  {year}")
    }
}

/// Year, month and day of a count of days since 1970, in the Gregorian calendar. Years begin in March here, so that the leap day is the
/// last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    // Days since March 1st of the year 0, which an era of 400 years divides.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in
            [(0, (1970, 1, 1)), (-1, (1969, 12, 31)), (11_016, (2000, 2, 29)), (19_782, (2024, 2, 29)), (47_540, (2100, 2, 28))]
        {
            assert_eq!(civil(days), expected, "{days}");
        }
        let now_s = 1_700_000_000;
        assert_eq!(date(now_s - 60, now_s), "Nov 14 22:12");
        assert_eq!(date(0, now_s), "Jan  1  1970");
        assert_eq!(date(now_s + 60, now_s), "Nov 14  2023");
    }

    #[test]
    fn modes_look_as_usual() {
        for (bits, expected) in [(0o100_644, "-rw-r--r--"), (0o041_777, "drwxrwxrwt"), (0o120_777, "lrwxrwxrwx"), (0o106_640, "-rwSr-S---")]
        {
            assert_eq!(mode(bits), expected);
        }
    }
}
