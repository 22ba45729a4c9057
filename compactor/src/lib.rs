//! Cleans up behind the others: old log objects and parts that nothing names any more.
