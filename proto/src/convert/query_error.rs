//! Errors of queries, kept exactly: variant and text.

use logql::plan::QueryError;

use crate::v1::{ErrorDetail, ErrorVariant};

/// The error as it travels.
pub fn query_error(error: &QueryError) -> ErrorDetail {
    let (variant, text) = match error {
        QueryError::Invalid(text) => (ErrorVariant::QueryInvalid, text),
        QueryError::Unsupported(text) => (ErrorVariant::QueryUnsupported, text),
        QueryError::Limited(text) => (ErrorVariant::QueryLimited, text),
        QueryError::Internal(text) => (ErrorVariant::QueryInternal, text),
    };
    ErrorDetail { variant: variant.into(), text: text.clone() }
}

/// Reads what [`query_error`] wrote; any other error is given back.
pub fn read_query_error(detail: ErrorDetail) -> Result<QueryError, ErrorDetail> {
    Ok(match detail.variant() {
        ErrorVariant::QueryInvalid => QueryError::Invalid(detail.text),
        ErrorVariant::QueryUnsupported => QueryError::Unsupported(detail.text),
        ErrorVariant::QueryLimited => QueryError::Limited(detail.text),
        ErrorVariant::QueryInternal => QueryError::Internal(detail.text),
        _ => return Err(detail),
    })
}
