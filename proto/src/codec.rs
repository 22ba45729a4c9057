//! Bytes to messages and back.

use bytes::{Buf, Bytes};
use prost::Message;

use crate::error::WireError;

/// Most fields at the top of a message. No message but a list of batches has more than twenty.
pub const MAX_FIELDS: usize = 1 << 16;

/// The bytes of `message`.
pub fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Reads a message; `bytes` fields share the memory of `bytes`.
///
/// Fields are counted before they are decoded: an empty batch takes two bytes here and hundreds
/// there. `name` is for the error.
pub fn decode<M: Message + Default>(name: &'static str, bytes: Bytes) -> Result<M, WireError> {
    count_fields(&bytes).map_err(|reason| WireError::new(name, reason))?;
    M::decode(bytes).map_err(|error| WireError::new(name, error))
}

/// Walks over the top-level fields without looking into them.
fn count_fields(mut input: &[u8]) -> Result<(), String> {
    let mut fields = 0;
    while !input.is_empty() {
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(format!("more than {MAX_FIELDS} fields"));
        }
        let key = varint(&mut input)?;
        let length = match key & 7 {
            0 => {
                varint(&mut input)?;
                0
            }
            1 => 8,
            2 => varint(&mut input)?,
            5 => 4,
            other => return Err(format!("wire type {other}")),
        };
        let length = usize::try_from(length).map_err(|_| "a field is too long".to_owned())?;
        if length > input.len() {
            return Err("it ends inside a field".to_owned());
        }
        input.advance(length);
    }
    Ok(())
}

fn varint(input: &mut &[u8]) -> Result<u64, String> {
    prost::encoding::decode_varint(input).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn a_message_with_too_many_fields_is_refused_before_it_takes_memory() {
        let batches = |count| v1::AppendRequest { batches: vec![v1::Batch::default(); count] };
        let bytes = encode(&batches(MAX_FIELDS));
        assert_eq!(bytes.len(), MAX_FIELDS * 2);
        let back: v1::AppendRequest = decode("AppendRequest", bytes).unwrap();
        assert_eq!(back.batches.len(), MAX_FIELDS);
        let error = decode::<v1::AppendRequest>("AppendRequest", encode(&batches(MAX_FIELDS + 1)));
        assert_eq!(
            error.unwrap_err().to_string(),
            "bad AppendRequest message: more than 65536 fields"
        );
    }

    #[test]
    fn fields_of_a_later_version_are_skipped() {
        // Field 1 as known; fields 100 (varint), 101 (bytes), 102 (four), 103 (eight) are not.
        let mut bytes = encode(&v1::Hello { querier: "q-1".to_owned() }).to_vec();
        for (key, value) in [
            (100 << 3, &[0x96, 0x01][..]),
            (101 << 3 | 2, &[3, 1, 2, 3]),
            (102 << 3 | 5, &[1, 2, 3, 4]),
            (103 << 3 | 1, &[1, 2, 3, 4, 5, 6, 7, 8]),
        ] {
            prost::encoding::encode_varint(key, &mut bytes);
            bytes.extend_from_slice(value);
        }
        let hello: v1::Hello = decode("Hello", bytes.into()).unwrap();
        assert_eq!(hello.querier, "q-1");
    }

    #[test]
    fn cut_bytes_are_an_error_that_names_the_message() {
        let whole = encode(&v1::Hello { querier: "q-1".to_owned() });
        for end in 1..whole.len() {
            let error = decode::<v1::Hello>("Hello", whole.slice(..end)).unwrap_err();
            assert!(error.to_string().starts_with("bad Hello message: "), "{error}");
        }
    }
}
