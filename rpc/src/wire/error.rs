//! Errors as messages: the variant and the text, so that they come out the same on the other side.

use logql::engine::portable::PortableError;
use proto::WireError;
use proto::convert::{query_error, read_query_error};
use proto::v1::{ErrorDetail, ErrorVariant};

use crate::frontend::FrontendError;
use crate::ingester::IngesterError;
use crate::querier::QuerierError;

fn detail(variant: ErrorVariant, text: &str) -> ErrorDetail {
    ErrorDetail { variant: variant.into(), text: text.to_owned() }
}

/// An error that travels.
pub trait WireErrorDetail: std::fmt::Display + Sized {
    /// As it travels.
    fn to_detail(&self) -> ErrorDetail;
    /// Reads what [`WireErrorDetail::to_detail`] wrote. What this kind of error does not know
    /// becomes what is nearest.
    fn from_detail(detail: ErrorDetail) -> Self;
    /// The call did not come through.
    fn unavailable(text: String) -> Self;
    /// A message that is none.
    fn corrupt(text: String) -> Self;
    /// The deadline of the call passed.
    fn timeout(text: String) -> Self;
    /// A limit of messages was hit.
    fn limited(text: String) -> Self;
    /// A bug, or a side that does not know the call.
    fn internal(text: String) -> Self;
    /// Who may retry.
    fn kind(&self) -> base::ErrorKind;
}

impl WireErrorDetail for IngesterError {
    fn to_detail(&self) -> ErrorDetail {
        match self {
            IngesterError::Query(error) => query_error(error),
            IngesterError::Misplaced(text) => detail(ErrorVariant::Misplaced, text),
            IngesterError::Forgotten(text) => detail(ErrorVariant::Forgotten, text),
            IngesterError::Unavailable(text) => detail(ErrorVariant::Unavailable, text),
            IngesterError::Corrupt(text) => detail(ErrorVariant::Corrupt, text),
            IngesterError::Cancelled => detail(ErrorVariant::Cancelled, ""),
            IngesterError::Internal(text) => detail(ErrorVariant::Internal, text),
        }
    }

    fn from_detail(detail: ErrorDetail) -> IngesterError {
        let detail = match read_query_error(detail) {
            Ok(error) => return IngesterError::Query(error),
            Err(detail) => detail,
        };
        match detail.variant() {
            ErrorVariant::Misplaced => IngesterError::Misplaced(detail.text),
            ErrorVariant::Forgotten => IngesterError::Forgotten(detail.text),
            ErrorVariant::Unavailable => IngesterError::Unavailable(detail.text),
            ErrorVariant::Corrupt => IngesterError::Corrupt(detail.text),
            ErrorVariant::Cancelled | ErrorVariant::Timeout => IngesterError::Cancelled,
            _ => IngesterError::Internal(detail.text),
        }
    }

    fn unavailable(text: String) -> IngesterError {
        IngesterError::Unavailable(text)
    }

    fn corrupt(text: String) -> IngesterError {
        IngesterError::Corrupt(text)
    }

    /// A peer that does not answer in time does not answer.
    fn timeout(text: String) -> IngesterError {
        IngesterError::Unavailable(text)
    }

    fn limited(text: String) -> IngesterError {
        IngesterError::Query(logql::plan::QueryError::Limited(text))
    }

    fn internal(text: String) -> IngesterError {
        IngesterError::Internal(text)
    }

    fn kind(&self) -> base::ErrorKind {
        IngesterError::kind(self)
    }
}

impl WireErrorDetail for QuerierError {
    fn to_detail(&self) -> ErrorDetail {
        match self {
            QuerierError::Query(error) => query_error(error),
            QuerierError::Unavailable(text) => detail(ErrorVariant::Unavailable, text),
            QuerierError::Timeout => detail(ErrorVariant::Timeout, ""),
            QuerierError::Cancelled => detail(ErrorVariant::Cancelled, ""),
            QuerierError::Corrupt(text) => detail(ErrorVariant::Corrupt, text),
            QuerierError::Internal(text) => detail(ErrorVariant::Internal, text),
        }
    }

    fn from_detail(detail: ErrorDetail) -> QuerierError {
        let detail = match read_query_error(detail) {
            Ok(error) => return QuerierError::Query(error),
            Err(detail) => detail,
        };
        match detail.variant() {
            ErrorVariant::Unavailable => QuerierError::Unavailable(detail.text),
            ErrorVariant::Timeout => QuerierError::Timeout,
            ErrorVariant::Cancelled => QuerierError::Cancelled,
            ErrorVariant::Corrupt => QuerierError::Corrupt(detail.text),
            _ => QuerierError::Internal(detail.text),
        }
    }

    fn unavailable(text: String) -> QuerierError {
        QuerierError::Unavailable(text)
    }

    fn corrupt(text: String) -> QuerierError {
        QuerierError::Corrupt(text)
    }

    fn timeout(_: String) -> QuerierError {
        QuerierError::Timeout
    }

    fn limited(text: String) -> QuerierError {
        QuerierError::Query(logql::plan::QueryError::Limited(text))
    }

    fn internal(text: String) -> QuerierError {
        QuerierError::Internal(text)
    }

    fn kind(&self) -> base::ErrorKind {
        QuerierError::kind(self)
    }
}

impl WireErrorDetail for FrontendError {
    fn to_detail(&self) -> ErrorDetail {
        match self {
            FrontendError::Unavailable(text) => detail(ErrorVariant::Unavailable, text),
            FrontendError::Internal(text) => detail(ErrorVariant::Internal, text),
        }
    }

    fn from_detail(detail: ErrorDetail) -> FrontendError {
        match detail.variant() {
            ErrorVariant::Unavailable => FrontendError::Unavailable(detail.text),
            _ => FrontendError::Internal(detail.text),
        }
    }

    fn unavailable(text: String) -> FrontendError {
        FrontendError::Unavailable(text)
    }

    fn corrupt(text: String) -> FrontendError {
        FrontendError::Internal(text)
    }

    fn timeout(text: String) -> FrontendError {
        FrontendError::Unavailable(text)
    }

    fn limited(text: String) -> FrontendError {
        FrontendError::Internal(text)
    }

    fn internal(text: String) -> FrontendError {
        FrontendError::Internal(text)
    }

    fn kind(&self) -> base::ErrorKind {
        match self {
            FrontendError::Unavailable(_) => base::ErrorKind::Unavailable,
            FrontendError::Internal(_) => base::ErrorKind::Internal,
        }
    }
}

impl From<WireError> for IngesterError {
    fn from(error: WireError) -> IngesterError {
        IngesterError::Corrupt(error.to_string())
    }
}

impl From<WireError> for QuerierError {
    fn from(error: WireError) -> QuerierError {
        QuerierError::Corrupt(error.to_string())
    }
}

impl From<WireError> for FrontendError {
    fn from(error: WireError) -> FrontendError {
        FrontendError::Internal(error.to_string())
    }
}

impl From<PortableError> for IngesterError {
    fn from(error: PortableError) -> IngesterError {
        match error {
            PortableError::Query(error) => IngesterError::Query(error),
            error @ PortableError::Malformed(_) => IngesterError::Corrupt(error.to_string()),
        }
    }
}

impl From<PortableError> for QuerierError {
    fn from(error: PortableError) -> QuerierError {
        match error {
            PortableError::Query(error) => QuerierError::Query(error),
            error @ PortableError::Malformed(_) => QuerierError::Corrupt(error.to_string()),
        }
    }
}
