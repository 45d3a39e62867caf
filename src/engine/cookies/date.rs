//! Dates as servers write them into cookies (RFC 6265 section 5.1.1).

use std::time::{Duration, SystemTime};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        if let (None, Some(found)) = (time, clock(token)) {
            time = Some(found);
        } else if let (None, Some(found)) = (day, number(token, 1..=2)) {
            day = Some(found);
        } else if let (None, Some(found)) = (month, month_of(token)) {
            month = Some(found);
        } else if let (None, Some(found)) = (year, number(token, 2..=4)) {
            year = Some(found);
        }
    }
    let (seconds, day, month) = (time?, day?, month?);
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        year => year,
    };
    if !(1..=31).contains(&day) || year < 1601 {
        return None;
    }
    let since = i64::from(days(year, month, day)) * 86_400 + i64::from(seconds);
    let length = Duration::from_secs(since.unsigned_abs());
    match since {
        0.. => SystemTime::UNIX_EPOCH.checked_add(length),
        _ => SystemTime::UNIX_EPOCH.checked_sub(length),
    }
}

fn is_delimiter(c: char) -> bool {
    matches!(c, '\t' | ' '..='/' | ';'..='@' | '['..='`' | '{'..='~')
}

/// The digits that a token begins with, if there are that many.
fn number(token: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let length = token.bytes().take_while(u8::is_ascii_digit).count();
    digits.contains(&length).then(|| token[..length].parse().ok())?
}

/// `h:m:s` in seconds.
fn clock(token: &str) -> Option<u32> {
    let mut parts = token.splitn(3, ':');
    let mut next = || number(parts.next()?, 1..=2);
    let (hour, minute, second) = (next()?, next()?, next()?);
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
}

fn month_of(token: &str) -> Option<u32> {
    let name = token.get(..3)?.to_ascii_lowercase();
    MONTHS.iter().position(|month| *month == name).map(|at| at as u32 + 1)
}

/// Days since 1970-01-01 in the Gregorian calendar; the year is counted from March.
fn days(year: u32, month: u32, day: u32) -> i32 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    days as i32 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_they_come() {
        let good = [
            ("Wed, 21 Oct 2015 07:28:00 GMT", 1_445_412_480),
            ("Wed, 21-Oct-2015 07:28:00 GMT", 1_445_412_480),
            ("Wednesday, 21-Oct-15 07:28:00 GMT", 1_445_412_480),
            ("Wed Oct 21 07:28:00 2015", 1_445_412_480),
            ("21 october 2015 7:28:0", 1_445_412_480),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 00:00:01 GMT", 1_709_164_801),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ];
        for (text, seconds) in good {
            let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert!(parse("Sun, 01 Jan 1601 00:00:00 GMT") < Some(SystemTime::UNIX_EPOCH));
        for bad in ["", "soon", "0", "21 Oct 2015", "21 Oct 1600 07:28:00", "32 Oct 2015 07:28:00"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for odd in ["99:99:99 é éé ééé", "1:2", "::", "21 Oct 2015 24:00:00", "\u{301}\u{301}"]
        {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
