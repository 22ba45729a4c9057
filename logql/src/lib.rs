//! LogQL: text -> [`syntax`] tree -> [`plan`] -> evaluation over pages -> result.
//!
//! Owns: the language, its error texts, what every operator means, how partial results merge.
//! Does not own: where pages come from, who is asked, HTTP, limits of tenants.
//!
//! Life of a query:
//! 1. [`syntax::parse`] reads the text into an [`syntax::Expr`] or fails with Loki's text.
//! 2. [`plan::Plan::new`] checks meaning, decides what each leaf (selector + pipeline + range
//!    function) must read, and refuses by name what is not executed yet.
//! 3. Whoever holds rows makes one [`engine::Worker`] per thread and leaf and feeds it pages;
//!    an operator takes a page and a bitmap and leaves a bitmap.
//! 4. Workers finish into [`engine::Partial`]s, which merge in any order and any grouping.
//! 5. [`plan::Plan::finish`] turns the merged partial of each leaf into the answer.
//!
//! **Invariant:** pure. No IO, no clock, no task, no randomness: the same rows and the same plan
//! give the same answer, however the rows are cut into pages, workers and partials.

pub mod engine;
#[doc(hidden)]
pub mod fuzz;
pub mod plan;
pub mod syntax;
