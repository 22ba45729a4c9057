//! The text of `format_query`: canonical on one line where that is short, else one node per line.

use std::fmt::Write;

use base::quote::quote;

use super::ast::*;
use super::display::{BinaryText, RangeText, Selector};
use super::number::general;

/// Longest canonical text that stays on a line, bytes.
const MAX_LINE: usize = 100;

/// `expr` as `format_query` prints it. Reading it gives the tree back.
pub fn pretty(expr: &Expr) -> String {
    let mut printer = Printer { out: String::new() };
    match expr {
        Expr::Log(log) => printer.log(log, 0),
        Expr::Metric(metric) => printer.metric(metric, 0),
    }
    printer.out
}

struct Printer {
    out: String,
}

impl Printer {
    fn indent(&mut self, level: usize) {
        self.out.extend(std::iter::repeat_n("  ", level));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let written = self.out.write_fmt(text);
        debug_assert!(written.is_ok());
    }

    /// Writes what is short enough as it is.
    fn short(&mut self, canonical: &dyn std::fmt::Display, level: usize) -> bool {
        let mut room = Room { left: MAX_LINE };
        if write!(room, "{canonical}").is_err() {
            return false;
        }
        self.indent(level);
        self.put(format_args!("{canonical}"));
        true
    }

    fn log(&mut self, log: &LogExpr, level: usize) {
        if self.short(log, level) {
            return;
        }
        self.indent(level);
        self.put(format_args!("{}", Selector(&log.matchers)));
        for stage in &log.stages {
            self.out.push('\n');
            self.indent(level + 1);
            self.put(format_args!("{stage}"));
        }
    }

    fn metric(&mut self, metric: &MetricExpr, level: usize) {
        if self.short(metric, level) {
            return;
        }
        match metric {
            MetricExpr::Range(range) => self.range(range, level),
            MetricExpr::Vector(vector) => self.vector(vector, level),
            MetricExpr::Binary(binary) => self.binary(binary, level),
            MetricExpr::LabelReplace(replace) => self.label_replace(replace, level),
            MetricExpr::Literal(_) | MetricExpr::VectorFn(_) => {
                self.indent(level);
                self.put(format_args!("{metric}"));
            }
        }
    }

    fn grouping(&mut self, grouping: Option<&Grouping>) {
        if let Some(grouping) = grouping {
            let word = if grouping.without { "without" } else { "by" };
            self.put(format_args!(" {word} ({})", grouping.labels.join(", ")));
        }
    }

    fn range(&mut self, range: &RangeAggregation, level: usize) {
        self.indent(level);
        self.put(format_args!("{}(\n", range.op));
        if let Some(parameter) = range.parameter {
            self.indent(level + 1);
            self.put(format_args!("{},\n", general(parameter)));
        }
        self.log(&range.log, level + 1);
        if let Some(unwrap) = &range.unwrap {
            self.out.push('\n');
            self.indent(level + 2);
            self.put(format_args!("{unwrap}"));
        }
        self.put(format_args!(" {}\n", RangeText(range)));
        self.indent(level);
        self.out.push(')');
        self.grouping(range.grouping.as_ref());
    }

    fn vector(&mut self, vector: &VectorAggregation, level: usize) {
        self.indent(level);
        self.put(format_args!("{}", vector.op));
        self.grouping(vector.grouping.as_ref());
        self.out.push_str("(\n");
        if let Some(parameter) = vector.parameter {
            self.indent(level + 1);
            self.put(format_args!("{parameter},\n"));
        }
        self.metric(&vector.inner, level + 1);
        self.out.push('\n');
        self.indent(level);
        self.out.push(')');
    }

    fn binary(&mut self, binary: &BinaryExpr, level: usize) {
        self.side(&binary.left, binary.op, false, level + 1);
        self.out.push('\n');
        self.indent(level);
        self.put(format_args!("{}\n", BinaryText(binary)));
        self.side(&binary.right, binary.op, true, level + 1);
    }

    /// One side of an operator, in parentheses where they are needed.
    fn side(&mut self, side: &MetricExpr, outer: BinaryOp, right: bool, level: usize) {
        let parenthesized = match side {
            MetricExpr::Binary(inner) => {
                let (inner, outer_binds) = (binds(inner.op), binds(outer));
                let groups_right = outer == BinaryOp::Pow;
                inner < outer_binds || (inner == outer_binds && right != groups_right)
            }
            _ => false,
        };
        if !parenthesized || self.short(side, level) {
            if !parenthesized {
                self.metric(side, level);
            }
            return;
        }
        self.indent(level);
        self.out.push_str("(\n");
        self.metric(side, level + 1);
        self.out.push('\n');
        self.indent(level);
        self.out.push(')');
    }

    fn label_replace(&mut self, replace: &LabelReplace, level: usize) {
        self.indent(level);
        self.out.push_str("label_replace(\n");
        self.metric(&replace.inner, level + 1);
        for text in [&replace.dst, &replace.replacement, &replace.src, &replace.regex] {
            self.out.push_str(",\n");
            self.indent(level + 1);
            self.put(format_args!("{}", quote(text)));
        }
        self.out.push('\n');
        self.indent(level);
        self.out.push(')');
    }
}

/// How tight an operator binds.
fn binds(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterOrEqual
        | BinaryOp::Less
        | BinaryOp::LessOrEqual => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => 5,
        BinaryOp::Pow => 6,
    }
}

/// Takes so many bytes and then fails: a long text need not be printed to know that it is long.
struct Room {
    left: usize,
}

impl Write for Room {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(std::fmt::Error)?;
        Ok(())
    }
}
