//! The one table between error kinds and gRPC codes, and typed errors in the details of a status.

use std::error::Error;

use base::ErrorKind;
use proto::v1::{ErrorDetail, ErrorVariant};
use tonic::{Code, Status};

use crate::wire::error::WireErrorDetail;

/// Headers of an answer, a status with its details included. A query may have 128 KiB, and an
/// error may quote it.
pub(super) const MAX_HEADER_BYTES: u32 = 1 << 20;
/// The part of an error's text that is repeated in the message of the status, for people and
/// tools; all of it is in the details.
const MAX_MESSAGE_BYTES: usize = 1024;
/// A longer text is cut: with its base64 it must fit into [`MAX_HEADER_BYTES`].
const MAX_TEXT_BYTES: usize = 512 << 10;

/// Which code says who may retry.
pub fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Limited => Code::ResourceExhausted,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The status of a typed error.
pub fn status_of<E: WireErrorDetail>(error: &E) -> Status {
    let mut detail = error.to_detail();
    cut(&mut detail.text, MAX_TEXT_BYTES);
    let mut message = error.to_string();
    cut(&mut message, MAX_MESSAGE_BYTES);
    Status::with_details(code_of(error.kind()), message, proto::encode(&detail))
}

fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push_str("...");
    }
}

/// What went wrong with a call.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// The other side answered with this error.
    Answered(E),
    /// The call did not come through, or the answer did not come back.
    Lost(E),
}

impl<E> Failure<E> {
    pub fn into_error(self) -> E {
        match self {
            Failure::Answered(error) | Failure::Lost(error) => error,
        }
    }
}

/// The error of a call to `address` that ended with `status`.
pub(super) fn failure_of<E: WireErrorDetail>(address: &str, status: &Status) -> Failure<E> {
    if let Some(detail) = detail_of(status) {
        return Failure::Answered(E::from_detail(detail));
    }
    let text = format!("{address}: {}", text_of(status));
    let is_local = status.source().is_some();
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted if !is_local => {
            let keys = "grpc_server_max_recv_msg_size, grpc_client_config.max_recv_msg_size \
                        and max_send_msg_size limit messages";
            Failure::Answered(E::limited(format!("{text} ({keys})")))
        }
        Code::DataLoss => Failure::Answered(E::corrupt(text)),
        Code::DeadlineExceeded => Failure::Answered(E::timeout(text)),
        _ if caused_by::<tonic::TimeoutExpired>(status) => Failure::Answered(E::timeout(text)),
        Code::Internal | Code::Unimplemented | Code::InvalidArgument if !is_local => {
            Failure::Answered(E::internal(text))
        }
        _ => Failure::Lost(E::unavailable(text)),
    }
}

/// The typed error in a status.
fn detail_of(status: &Status) -> Option<ErrorDetail> {
    if status.details().is_empty() {
        return None;
    }
    let bytes = bytes::Bytes::copy_from_slice(status.details());
    let detail: ErrorDetail = proto::decode("ErrorDetail", bytes).ok()?;
    (detail.variant() != ErrorVariant::Unspecified).then_some(detail)
}

/// Message and innermost cause: `tcp connect error` alone helps nobody.
fn text_of(status: &Status) -> String {
    match causes(status).last().map(ToString::to_string) {
        Some(cause) if !status.message().contains(&cause) => {
            format!("{}: {cause}", status.message())
        }
        _ if status.message().is_empty() => status.code().description().to_owned(),
        _ => status.message().to_owned(),
    }
}

/// Whether the connection could not be made at all.
pub(super) fn is_connect_failure(status: &Status) -> bool {
    caused_by::<tonic::ConnectError>(status)
}

/// Whether the connection was given up because the other side did not say that it lives.
pub(super) fn is_given_up(status: &Status) -> bool {
    causes(status)
        .any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout))
}

fn caused_by<E: Error + 'static>(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<E>())
}

/// The outermost first.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingester::IngesterError;
    use crate::querier::QuerierError;
    use logql::plan::QueryError;

    #[test]
    fn typed_errors_come_out_as_they_went_in() {
        let text = || "a \"text\" with \n and é".to_owned();
        let queries = [
            QueryError::Invalid(text()),
            QueryError::Unsupported(text()),
            QueryError::Limited(text()),
            QueryError::Internal(text()),
        ];
        let mut ingester: Vec<IngesterError> = queries.iter().cloned().map(Into::into).collect();
        ingester.extend([
            IngesterError::Misplaced(text()),
            IngesterError::Forgotten(text()),
            IngesterError::Unavailable(text()),
            IngesterError::Corrupt(text()),
            IngesterError::Cancelled,
            IngesterError::Internal(text()),
        ]);
        for error in ingester {
            let back: Failure<IngesterError> = failure_of("a:1", &status_of(&error));
            assert!(matches!(back, Failure::Answered(_)));
            assert_eq!(format!("{:?}", back.into_error()), format!("{error:?}"));
        }
        let mut querier: Vec<QuerierError> = queries.iter().cloned().map(Into::into).collect();
        querier.extend([
            QuerierError::Unavailable(text()),
            QuerierError::Timeout,
            QuerierError::Cancelled,
            QuerierError::Corrupt(text()),
            QuerierError::Internal(text()),
        ]);
        for error in querier {
            let back: Failure<QuerierError> = failure_of("a:1", &status_of(&error));
            assert_eq!(format!("{:?}", back.into_error()), format!("{error:?}"));
        }
    }

    #[test]
    fn a_status_without_details_names_the_address() {
        let table: [(Status, &str); 5] = [
            (Status::unavailable("starting"), "Unavailable(\"a:1: starting\")"),
            (Status::unknown(""), "Unavailable(\"a:1: Unknown error\")"),
            (Status::internal("internal error"), "Internal(\"a:1: internal error\")"),
            (Status::data_loss("bad Rows message"), "Corrupt(\"a:1: bad Rows message\")"),
            (Status::deadline_exceeded("late"), "Unavailable(\"a:1: late\")"),
        ];
        for (status, want) in table {
            let error: IngesterError = failure_of("a:1", &status).into_error();
            assert_eq!(format!("{error:?}"), want);
        }
        let error: IngesterError = failure_of("a:1", &Status::out_of_range("5 > 4")).into_error();
        assert!(error.to_string().contains("a:1: 5 > 4 (grpc_server_max_recv"), "{error}");
    }
}
