//! Reads epochs as numbers from stdin, runs the runtime's own epoch on each, writes one JSON line each.
//! With a number as argument: runs each so many times, and writes its times instead.
//! `_runtime.py` puts the runtime's sources beside this file and builds it.

#![allow(warnings)]
extern crate alloc;

use std::io::{BufWriter, Read, Write, stdin, stdout};
use std::time::Instant;
use substrate_fixed::types::{I32F32, I64F64, U96F32};

/// What the sources take from Substrate's crates, as far as the epoch needs it.
pub mod log {
    macro_rules! nothing {
        ($($any:tt)*) => {};
    }
    pub(crate) use nothing as debug;
    pub(crate) use nothing as error;
    pub(crate) use nothing as trace;
}

pub mod sp_runtime {
    pub mod traits {
        pub trait CheckedAdd: Sized {
            fn checked_add(&self, other: &Self) -> Option<Self>;
        }
        pub trait Saturating {
            fn saturating_inc(&mut self);
        }
        impl Saturating for usize {
            fn saturating_inc(&mut self) {
                *self = self.saturating_add(1)
            }
        }
    }
}

pub mod safe_math {
    pub trait SafeDiv {
        fn safe_div(self, divisor: Self) -> Self;
    }
    macro_rules! safe {
        ($($number:ty),*) => {$(
            impl SafeDiv for $number {
                fn safe_div(self, divisor: Self) -> Self {
                    self.checked_div(divisor).unwrap_or_default()
                }
            }
        )*};
    }
    safe!(usize, super::I32F32, super::I64F64, super::U96F32);
}

use safe_math::SafeDiv;

mod epoch_293;
mod epoch_head;
mod math_293;
mod math_head;

pub type Rows = Vec<(u16, Vec<(u16, u16)>)>;

/// A subnet's state and hyperparameters, under the names of `EpochInput` and `EpochParams`.
pub struct Case {
    pub n: u16,
    pub block: u64,
    pub tempo: u64,
    pub activity_cutoff: u64,
    pub kappa: u16,
    pub bonds_penalty: u16,
    pub bonds_moving_average: u64,
    pub yuma3: bool,
    pub liquid_alpha: bool,
    pub alpha_low: u16,
    pub alpha_high: u16,
    pub alpha_sigmoid_steepness: i16,
    pub max_allowed_validators: u16,
    pub stake_threshold: u64,
    pub owner_uid: Option<u16>,
    pub rao_emission: u64,
    pub last_step_block: u64,
    pub tao_weight: u64,
    pub stake: Vec<u64>,
    pub tao_stake: Vec<u64>,
    pub last_update: Vec<u64>,
    pub block_at_registration: Vec<u64>,
    pub validator_permit: Vec<bool>,
    pub oldest_commit: Option<Vec<u64>>,
    pub weights: Rows,
    pub bonds: Rows,
}

pub fn proportion(x: u16) -> I32F32 {
    I32F32::saturating_from_num(x).safe_div(I32F32::saturating_from_num(u16::MAX))
}

impl Case {
    pub fn sparse(&self, rows: &Rows) -> Vec<Vec<(u16, I32F32)>> {
        let mut out = vec![vec![]; self.n as usize];
        for (uid, row) in rows.iter().filter(|(uid, _)| *uid < self.n) {
            for (column, value) in row.iter().filter(|(column, _)| *column < self.n) {
                out[*uid as usize].push((*column, I32F32::saturating_from_num(*value)));
            }
        }
        out
    }

    pub fn proportional_bonds(&self) -> Vec<Vec<(u16, I32F32)>> {
        let top = I32F32::saturating_from_num(u16::MAX);
        let mut bonds = self.sparse(&self.bonds);
        for (_, bond) in bonds.iter_mut().flatten() {
            *bond = bond.safe_div(top);
        }
        bonds
    }

    pub fn stakes(&self) -> (Vec<I64F64>, Vec<I64F64>, Vec<I64F64>) {
        let all = U96F32::saturating_from_num(u64::MAX);
        let weight = I64F64::saturating_from_num(U96F32::saturating_from_num(self.tao_weight).safe_div(all));
        let number = |amounts: &[u64]| amounts.iter().map(|x| I64F64::saturating_from_num(*x)).collect::<Vec<_>>();
        let (alpha, tao) = (number(&self.stake), number(&self.tao_stake));
        let total = alpha.iter().zip(&tao).map(|(a, t)| a.saturating_add(t.saturating_mul(weight))).collect();
        (total, alpha, tao)
    }
}

/// What the epoch stores; `rank`, `trust` and `pruning_scores` are empty at head, a row that isn't written is None.
pub struct Output {
    pub stake_weight: Vec<u16>,
    pub active: Vec<bool>,
    pub rank: Vec<u16>,
    pub trust: Vec<u16>,
    pub consensus: Vec<u16>,
    pub incentive: Vec<u16>,
    pub dividends: Vec<u16>,
    pub validator_trust: Vec<u16>,
    pub pruning_scores: Vec<u16>,
    pub validator_permit: Vec<bool>,
    pub emission: Vec<u64>,
    pub server_emission: Vec<u64>,
    pub validator_emission: Vec<u64>,
    pub bonds: Vec<Option<Vec<(u16, u16)>>>,
}

fn json(out: &Output) -> String {
    let mut fields = vec![];
    macro_rules! add {
        ($($name:ident),*) => {$(
            fields.push(format!("\"{}\":{:?}", stringify!($name), out.$name));
        )*};
    }
    add!(stake_weight, active, rank, trust, consensus, incentive, dividends, validator_trust);
    add!(pruning_scores, validator_permit, emission, server_emission, validator_emission);
    let rows = out.bonds.iter().map(|row| match row {
        None => "null".to_string(),
        Some(row) => format!("{:?}", row).replace('(', "[").replace(')', "]"),
    });
    fields.push(format!("\"bonds\":[{}]", rows.collect::<Vec<_>>().join(",")));
    format!("{{{}}}", fields.join(","))
}

struct Numbers<'a>(std::str::SplitAsciiWhitespace<'a>);

impl Numbers<'_> {
    fn more(&mut self) -> Option<i128> {
        self.0.next().map(|word| word.parse().expect("a whole number"))
    }
    fn next(&mut self) -> i128 {
        self.more().expect("another number")
    }
    fn list(&mut self, n: u16) -> Vec<u64> {
        (0..n).map(|_| self.next() as u64).collect()
    }
    fn rows(&mut self) -> Rows {
        (0..self.next())
            .map(|_| {
                let uid = self.next() as u16;
                (uid, (0..self.next()).map(|_| (self.next() as u16, self.next() as u16)).collect())
            })
            .collect()
    }
    fn case(&mut self) -> Case {
        let n = self.next() as u16;
        Case {
            n,
            block: self.next() as u64,
            tempo: self.next() as u64,
            activity_cutoff: self.next() as u64,
            kappa: self.next() as u16,
            bonds_penalty: self.next() as u16,
            bonds_moving_average: self.next() as u64,
            yuma3: self.next() != 0,
            liquid_alpha: self.next() != 0,
            alpha_low: self.next() as u16,
            alpha_high: self.next() as u16,
            alpha_sigmoid_steepness: self.next() as i16,
            max_allowed_validators: self.next() as u16,
            stake_threshold: self.next() as u64,
            owner_uid: u16::try_from(self.next()).ok(),
            rao_emission: self.next() as u64,
            last_step_block: self.next() as u64,
            tao_weight: self.next() as u64,
            stake: self.list(n),
            tao_stake: self.list(n),
            last_update: self.list(n),
            block_at_registration: self.list(n),
            validator_permit: self.list(n).iter().map(|x| *x != 0).collect(),
            oldest_commit: if self.next() != 0 { Some(self.list(n)) } else { None },
            weights: self.rows(),
            bonds: self.rows(),
        }
    }
}

fn main() {
    let repetitions = std::env::args().nth(1).map(|word| word.parse::<usize>().expect("a count"));
    let mut text = String::new();
    stdin().read_to_string(&mut text).expect("text");
    let mut numbers = Numbers(text.split_ascii_whitespace());
    let mut out = BufWriter::new(stdout().lock());
    while let Some(variant) = numbers.more() {
        let case = numbers.case();
        let run = if variant == 293 { epoch_293::epoch } else { epoch_head::epoch };
        match repetitions {
            None => writeln!(out, "{}", json(&run(&case))),
            Some(count) => {
                let times = (0..count).map(|_| {
                    let started = Instant::now();
                    std::hint::black_box(run(&case));
                    started.elapsed().as_secs_f64() * 1e3
                });
                writeln!(out, "{:?}", times.collect::<Vec<_>>())
            }
        }
        .expect("stdout");
    }
}
