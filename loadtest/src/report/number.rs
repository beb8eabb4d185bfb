//! Formats numbers for readers.

/// A number with as many digits as a reader needs, and commas between thousands.
pub fn format_number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        ..0.1 => 4,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let groups: Vec<_> = whole.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    let rest = rest.map_or(String::new(), |rest| format!(".{rest}"));
    format!("{sign}{}{rest}", groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        let cases = [(0.0, "0"), (0.0123, "0.0123"), (3.456, "3.46"), (12.34, "12.3"), (1234567.8, "1,234,568"), (-1000.0, "-1,000")];
        cases.iter().for_each(|(value, text)| assert_eq!(format_number(*value), *text));
    }
}
