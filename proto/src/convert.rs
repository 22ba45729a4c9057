//! Types of `base` and `logql` as messages.

mod batch;
mod labels;
mod matchers;
mod origin;
mod overlaps;
mod partial;
mod query_error;

use crate::error::WireError;

pub use batch::read_runs;
pub use labels::{label_sets, read_label_sets};
pub use matchers::{matchers, read_matchers};
pub use overlaps::{ranges, read_ranges};
pub use query_error::{query_error, read_query_error};

/// A type of the model that travels as a message.
pub trait Wire: Sized {
    /// The message.
    type Message: prost::Message + Default;

    /// The message that says the same.
    fn to_wire(&self) -> Self::Message;

    /// Checks everything that could break an invariant of the type.
    fn from_wire(message: Self::Message) -> Result<Self, WireError>;
}

/// A field that must be there.
pub fn required<T>(message: &'static str, name: &str, field: Option<T>) -> Result<T, WireError> {
    field.ok_or_else(|| WireError::new(message, format_args!("{name} is missing")))
}

/// A tenant id.
pub fn tenant(message: &'static str, id: &str) -> Result<base::TenantId, WireError> {
    base::TenantId::new(id).map_err(|error| WireError::new(message, error))
}
