//! Messages in gRPC frames.

use std::marker::PhantomData;

use bytes::Buf;
use proto::Message;
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Writes `E` and reads `D`: counts fields before it decodes ([`proto::decode`]), takes memory for
/// a message once, and names the message in errors.
#[derive(Debug)]
pub struct Codec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for Codec<E, D> {
    fn default() -> Codec<E, D> {
        Codec(PhantomData)
    }
}

impl<E, D> tonic::codec::Codec for Codec<E, D>
where
    E: Message + 'static,
    D: Message + Default + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = Codec<E, D>;
    type Decoder = Codec<E, D>;

    fn encoder(&mut self) -> Codec<E, D> {
        Codec::default()
    }

    fn decoder(&mut self) -> Codec<E, D> {
        Codec::default()
    }
}

impl<E: Message, D> Encoder for Codec<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<E, D: Message + Default> Decoder for Codec<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        match proto::decode(message_name::<D>(), bytes) {
            Ok(message) => Ok(Some(message)),
            Err(error) => Err(Status::data_loss(error.to_string())),
        }
    }
}

/// `runelog_proto::v1::AppendRequest` -> `AppendRequest`.
fn message_name<M>() -> &'static str {
    let name = std::any::type_name::<M>();
    name.rsplit("::").next().unwrap_or(name)
}
