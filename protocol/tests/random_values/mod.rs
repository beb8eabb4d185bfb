//! Random numbers, texts and values with the JSON text that a device may write for them. One seed always makes the same.

use std::fmt::Write;

use driftless_protocol::{Number, Value};

#[allow(dead_code)]
#[path = "../random/mod.rs"]
mod random;

use self::random::SeededRandom;

/// Random values, in the order of a seed.
pub struct ValueRandom(SeededRandom);

/// The seeds of a run: those of `TEST_SEEDS`, a range such as `0..1000` or a count, or else a few that run every time, and those that failed once.
pub fn seeds(every_time: u64) -> Vec<u64> {
    match std::env::var("TEST_SEEDS") {
        Ok(asked) => {
            let (from, to) = asked.split_once("..").unwrap_or(("0", &asked));
            (from.parse().expect("a number")..to.parse().expect("a number")).collect()
        }
        Err(_) => {
            let failed_once = include_str!("seeds.txt").lines().filter_map(|line| line.split('#').next()?.trim().parse().ok());
            failed_once.chain(0..every_time).collect()
        }
    }
}

/// The bytes by which values are compared: equal exactly when the values are.
pub fn canonical(value: &Value) -> Vec<u8> {
    driftless_protocol::Codec::MsgPack.encode(value)
}

impl ValueRandom {
    pub fn new(seed: u64) -> ValueRandom {
        ValueRandom(SeededRandom::new(seed))
    }

    pub fn bits(&mut self) -> u64 {
        self.0.next()
    }

    /// A number from 0 to `end` - 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
    }

    /// A finite double: any bits, a fraction as people write them, or a neighbour of a bound.
    pub fn double(&mut self) -> f64 {
        const BOUNDS: [f64; 8] = [
            0.0,
            9_007_199_254_740_992.0,
            9_223_372_036_854_775_808.0,
            18_446_744_073_709_551_616.0,
            1e21,
            f64::MIN_POSITIVE,
            f64::MAX,
            1e15,
        ];
        let double = match self.below(4) {
            0 => f64::from_bits(self.bits()),
            1 => (self.below(1 << 40) as f64) / 10_f64.powi(self.below(12) as i32),
            2 => (self.bits() >> self.below(64)) as f64,
            _ => {
                let bound = BOUNDS[self.below(8) as usize];
                [bound, bound.next_up(), bound.next_down()][self.below(3) as usize]
            }
        };
        let double = if self.below(2) == 0 { double } else { -double };
        if double.is_finite() { double } else { self.double() }
    }

    /// A number, and a JSON text of it.
    pub fn number(&mut self) -> (Number, String) {
        match self.below(5) {
            0 => {
                let whole = (self.bits() as i64) >> self.below(64);
                (Number::from(whole), whole.to_string())
            }
            1 => {
                let whole = self.bits() >> self.below(64);
                (Number::from(whole), whole.to_string())
            }
            2 => self.long_number(),
            _ => {
                let double = self.double();
                let text = match self.below(4) {
                    0 => format!("{double:e}"),
                    1 => format!("{double:E}").replace('E', "E+").replace("E+-", "E-"),
                    // All digits: up to 309 before the point, or 1,074 after it.
                    2 => format!("{double:.1074}"),
                    _ => with_point(format!("{double}")),
                };
                (Number::from_f64(double).expect("finite"), text)
            }
        }
    }

    /// A number of more digits than a double keeps, some of them half way between two doubles.
    fn long_number(&mut self) -> (Number, String) {
        let mut digits =
            if self.below(2) == 0 { format!("{}", (self.bits() >> 10) | 1) } else { format!("{}", (1 << 53) + self.below(1000)) };
        (0..self.below(30)).for_each(|_| digits.push(char::from(b'0' + (self.below(3) * 5 % 10) as u8)));
        let text = format!("{digits}.0e{}", self.below(500) as i64 - 250);
        let nearest: f64 = text.parse().expect("a number");
        (Number::from_f64(nearest).expect("finite"), text)
    }

    /// A text of up to so many characters of all of Unicode.
    pub fn text(&mut self, most: u64) -> String {
        (0..self.below(most + 1)).map(|_| self.char()).collect()
    }

    fn char(&mut self) -> char {
        const SPECIAL: [char; 16] = [
            '\0',
            '"',
            '\\',
            '/',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{300}',
            '\u{200d}',
            '\u{2028}',
            '\u{feff}',
            '\u{fffd}',
            '\u{ffff}',
            '\u{1f600}',
            '\u{10ffff}',
            '.',
        ];
        match self.below(4) {
            0 => SPECIAL[self.below(16) as usize],
            1 => char::from(self.below(128) as u8),
            _ => char::from_u32(self.below(0x11_0000) as u32).unwrap_or('\u{d7ff}'),
        }
    }

    /// A JSON text of a text: each character as it is, or escaped.
    pub fn written(&mut self, text: &str) -> String {
        let mut json = String::from("\"");
        for c in text.chars() {
            let must = c < ' ' || c == '"' || c == '\\';
            if must || self.below(4) == 0 {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = if self.below(2) == 0 { write!(json, "\\u{unit:04x}") } else { write!(json, "\\u{unit:04X}") };
                }
            } else {
                json.push(c);
            }
        }
        json + "\""
    }

    /// A value that nests at most so deep, and a JSON text of it.
    pub fn value(&mut self, depth: u64) -> (Value, String) {
        match self.below(if depth == 0 { 8 } else { 10 }) {
            0 => (Value::null(), "null".to_owned()),
            1 => (Value::from(true), "true".to_owned()),
            2..6 => {
                let (number, json) = self.number();
                (Value::from(number), json)
            }
            6 | 7 => {
                let text = self.text(12);
                let json = self.written(&text);
                (Value::from(text), json)
            }
            8 => {
                let (items, texts): (Vec<_>, Vec<_>) = (0..self.below(5)).map(|_| self.value(depth - 1)).unzip();
                (Value::from(items), format!("[{}]", texts.join(", ")))
            }
            _ => {
                let (mut members, mut texts) = (std::collections::BTreeMap::new(), Vec::new());
                for n in 0..self.below(5) {
                    let name = format!("{}{n}", self.text(4));
                    let (value, json) = self.value(depth - 1);
                    texts.push(format!("{} : {json}", self.written(&name)));
                    members.insert(name, value);
                }
                (Value::from(members), format!("{{{}}}", texts.join(",\n")))
            }
        }
    }
}

fn with_point(text: String) -> String {
    if text.contains('.') { text } else { text + ".0" }
}
