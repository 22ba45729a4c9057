//! The messages between processes: generated types, and what they are in the model and back.
