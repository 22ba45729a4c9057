//! The way of a query: check, split, shard, queue, retry, merge, and Loki's JSON.
