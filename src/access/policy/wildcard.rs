//! Compares a text with a pattern of `*` (any characters, or none) and `?` (any one character).

/// One position of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatternToken {
    Character(char),
    /// `?`
    One,
    /// `*`
    Run,
}

/// Whether the whole text matches, and the comparisons that it took: at most (length of the pattern + 1) x (length of the text + 1), and at most `most`,
/// after which the text counts as one that does not match.
///
/// After a mismatch only the last `*` takes one character more. The earlier ones need not be tried again: what stands between two of them was found as
/// far left as it can be, which leaves the most text for the rest.
pub(super) fn match_tokens(pattern: &[PatternToken], text: &[char], most: usize) -> (bool, usize) {
    let (mut at, mut read) = (0, 0);
    // Behind the last `*`, and the text's position up to which it reaches.
    let mut run: Option<(usize, usize)> = None;
    let mut steps = 0;
    while steps < most {
        steps += 1;
        match (pattern.get(at), text.get(read)) {
            (Some(PatternToken::Run), _) => {
                at += 1;
                run = Some((at, read));
            }
            (Some(PatternToken::One), Some(_)) => (at, read) = (at + 1, read + 1),
            (Some(PatternToken::Character(wanted)), Some(found)) if wanted == found => (at, read) = (at + 1, read + 1),
            (None, None) => return (true, steps),
            // The pattern asks for more text than there is: a longer run would leave even less.
            (Some(_), None) => return (false, steps),
            (_, Some(_)) => {
                let Some((behind, reached)) = run else { return (false, steps) };
                run = Some((behind, reached + 1));
                (at, read) = (behind, reached + 1);
            }
        }
    }
    (false, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(pattern: &str) -> Vec<PatternToken> {
        let token = |c| match c {
            '*' => PatternToken::Run,
            '?' => PatternToken::One,
            c => PatternToken::Character(c),
        };
        pattern.chars().map(token).collect()
    }

    fn is_match(pattern: &str, text: &str) -> bool {
        match_tokens(&tokens(pattern), &text.chars().collect::<Vec<_>>(), usize::MAX).0
    }

    /// What a match is, tried in every way.
    fn reference(pattern: &[PatternToken], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((PatternToken::Run, rest)), _) => (0..=text.len()).any(|taken| reference(rest, &text[taken..])),
            (Some((PatternToken::One, rest)), Some((_, left))) => reference(rest, left),
            (Some((PatternToken::Character(wanted), rest)), Some((found, left))) => wanted == found && reference(rest, left),
            (Some(_), None) => false,
        }
    }

    #[test]
    fn wildcards_match_as_documented() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("s3:DeleteObject*", "s3:DeleteObject", true),
            ("arn:aws:s3:::test1/oo*", "arn:aws:s3:::test1/output.txt", false),
            ("a*b?c", "axxbbc", true),
            ("a*b?c", "axxbc", false),
            ("?", "ü", true),
            ("**", "x", true),
            ("a.c", "abc", false),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn short_patterns_match_as_the_reference_says() {
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..50_000 {
            let pattern: Vec<_> = (0..random.usize(..8)).map(|_| tokens("ab*?")[random.usize(..4)]).collect();
            let text: Vec<_> = (0..random.usize(..8)).map(|_| ['a', 'b'][random.usize(..2)]).collect();
            let (found, steps) = match_tokens(&pattern, &text, usize::MAX);
            assert_eq!(found, reference(&pattern, &text), "{pattern:?} {text:?}");
            assert!(steps <= (pattern.len() + 1) * (text.len() + 1), "{pattern:?} {text:?}: {steps}");
        }
    }

    #[test]
    fn a_hundred_stars_cost_no_more_than_pattern_times_text() {
        let text: Vec<_> = "a".repeat(1_000).chars().collect();
        for pattern in ["*a".repeat(100) + "b", "a*".repeat(100) + "b", "*".to_owned() + &"a".repeat(500) + "b", "*?a".repeat(100) + "*b*"]
        {
            let tokens = tokens(&pattern);
            let (found, steps) = match_tokens(&tokens, &text, usize::MAX);
            assert!(!found);
            assert!(steps <= (tokens.len() + 1) * (text.len() + 1), "{pattern}: {steps}");
            assert_eq!(match_tokens(&tokens, &text, 100), (false, 100));
        }
    }
}
