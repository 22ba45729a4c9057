//! Go's text/template, as `line_format` and `label_format` use it (contract 6.8).
//!
//! Written here because what a template does wrong shows: Loki answers with Go's texts, which name
//! the place in the template, the node that was executed and the types it met. Crates that execute
//! such templates know no parameter types of functions and no places.
//!
//! [`Template::new`] reads a template by Go's rules, [`Template::execute`] appends its output to a
//! buffer. Labels of the row are the data; a field of it is one look-up by number.

mod exec;
mod functions;
mod lexer;
mod literals;
mod numbers;
mod parser;
mod printf;
mod strings;
mod time;
mod value;
mod zone;

use super::names::NameId;
use super::pipeline::NameList;

use parser::Tree;

/// Longest output of a template, bytes: a few letters may ask for any length (P6).
const OUTPUT_MAX: usize = 1 << 20;

/// What a template reads.
pub(crate) trait Data {
    /// The value of a label; none reads as empty.
    fn label(&self, name: NameId) -> Option<&[u8]>;
    /// All labels in name order.
    fn labels(&self) -> Vec<(String, Vec<u8>)>;
    /// The line.
    fn line(&self) -> &[u8];
    /// The time of the entry, nanoseconds.
    fn ts_ns(&self) -> i64;
    /// The time of the query, nanoseconds.
    fn now_ns(&self) -> i64;
}

/// A template that was read.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    name: &'static str,
    tree: Tree,
}

impl Template {
    /// Reads `text`. The error is Go's.
    pub(crate) fn new(
        name: &'static str,
        text: &str,
        names: &mut NameList,
    ) -> Result<Template, String> {
        Ok(Template { name, tree: parser::parse(name, text, names)? })
    }

    /// Appends the output. The error is Go's; what was appended is to be thrown away then.
    pub(crate) fn execute(&self, data: &dyn Data, out: &mut Vec<u8>) -> Result<(), String> {
        exec::execute(self.name, &self.tree, data, out)
    }

    /// The labels whose values are read by name.
    pub(crate) fn labels(&self) -> &[NameId] {
        &self.tree.labels
    }

    /// Whether all labels may be read: the data itself is used as a value.
    pub(crate) fn reads_everything(&self) -> bool {
        self.tree.reads_everything
    }

    /// Whether the line is read.
    pub(crate) fn reads_line(&self) -> bool {
        self.tree.reads_line
    }
}

#[cfg(test)]
mod tests;
