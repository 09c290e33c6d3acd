use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// A whole number between two bounds, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Whole<const MIN: u64, const MAX: u64>(u64);

/// A length of time in seconds: above 0, at most a year, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Seconds(f64);

/// Processor cores: above 0, at most 1024, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Cores(f64);

/// Gigabytes of 1000³ bytes: above 0, at most a million, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Gigabytes(f64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// A number of the program's own; one out of bounds does not compile when it is a constant.
    pub const fn new(number: u64) -> Self {
        assert!(number >= MIN && number <= MAX);
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as MiB, in bytes.
    pub const fn mebibytes(self) -> u64 {
        self.0.saturating_mul(1024 * 1024)
    }
}

impl Seconds {
    const MAX: f64 = 365.0 * 86_400.0;

    /// A length of time of the program's own.
    pub const fn new(seconds: f64) -> Self {
        assert!(seconds > 0.0 && seconds <= Self::MAX);
        Self(seconds)
    }

    /// The length of time.
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.0)
    }
}

impl Cores {
    const MAX: f64 = 1024.0;

    /// A number of the program's own.
    pub const fn new(cores: f64) -> Self {
        assert!(cores > 0.0 && cores <= Self::MAX);
        Self(cores)
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Gigabytes {
    const MAX: f64 = 1e6;

    /// A number of the program's own.
    pub const fn new(number: f64) -> Self {
        assert!(number > 0.0 && number <= Self::MAX);
        Self(number)
    }

    /// The number in bytes.
    pub const fn bytes(self) -> u64 {
        (self.0 * 1e9) as u64
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> de::Visitor<'_> for Visitor<MIN, MAX> {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
                let fits = u64::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
                fits.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
                let fits = Some(number).filter(|number| (MIN..=MAX).contains(number));
                fits.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
        }
        deserializer.deserialize_i64(Visitor::<MIN, MAX>).map(Self)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let above_zero = AboveZero { max: Self::MAX, what: "a number of seconds above 0, at most a year" };
        deserializer.deserialize_f64(above_zero).map(Self)
    }
}

impl<'de> Deserialize<'de> for Cores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let above_zero = AboveZero { max: Self::MAX, what: "a number of processor cores above 0, at most 1024" };
        deserializer.deserialize_f64(above_zero).map(Self)
    }
}

impl<'de> Deserialize<'de> for Gigabytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let above_zero = AboveZero { max: Self::MAX, what: "a number of gigabytes above 0, at most a million" };
        deserializer.deserialize_f64(above_zero).map(Self)
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Whole<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("WholeFrom{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

macro_rules! above_zero {
    ($($number:ident),+) => {$(
        impl JsonSchema for $number {
            fn schema_name() -> Cow<'static, str> {
                stringify!($number).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": Self::MAX })
            }
        }
    )+};
}

above_zero!(Seconds, Cores, Gigabytes);

struct AboveZero {
    max: f64,
    what: &'static str,
}

impl de::Visitor<'_> for AboveZero {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<f64, E> {
        if number > 0.0 && number <= self.max {
            Ok(number)
        } else {
            Err(E::invalid_value(de::Unexpected::Float(number), &self))
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<f64, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<f64, E> {
        self.visit_f64(number as f64)
    }
}
