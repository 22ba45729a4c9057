//! Putting parts into the bucket (C5).

mod stream;

use base::random::Random;
use base::{Clock, Day, TenantId, UnixNanos};
use bytes::Bytes;
use catalog::{PartId, PartRecord, Place};

use crate::bucket::Bucket;
use crate::error::Error;

pub use stream::Streamed;

/// Parts of one upload that are smaller than this share bundle objects.
pub const BUNDLE_BELOW_BYTES: u64 = 8 << 20;

/// A bundle is closed when it has reached this size.
const BUNDLE_TARGET_BYTES: u64 = 64 << 20;

/// Sections of a bundle begin at multiples of this.
const ALIGN_BYTES: u64 = 16;

const PUT_ATTEMPTS: u32 = 3;

/// One part to upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// What the catalog will say; `place` is filled in by the upload.
    pub record: PartRecord,
    /// The part.
    pub bytes: Bytes,
}

impl Upload {
    /// A freshly flushed part: level 0, nothing purged (R3), any stream key.
    pub fn of_flush(id: PartId, tenant: TenantId, day: Day, image: part::Image) -> Upload {
        let record = PartRecord {
            id,
            tenant,
            day,
            place: Place::Object,
            len_bytes: image.bytes.len() as u64,
            footer_bytes: image.footer_bytes,
            tail_bytes: image.tail_bytes,
            rows: image.rows,
            raw_bytes: image.line_bytes,
            streams: image.streams,
            min_ts: UnixNanos(image.min_ns),
            max_ts: UnixNanos(image.max_ns),
            min_key: 0,
            max_key: u64::MAX,
            level: 0,
            purged_through: 0,
            rest: Vec::new(),
        };
        Upload { record, bytes: image.bytes }
    }
}

/// Uploads the parts of one draft and returns their records with their places, in order. The draft
/// must have been begun before.
///
/// # Errors
/// Some objects may have been put; no commit will name them and the orphan cleaner finds them.
pub async fn put_parts(
    bucket: &Bucket,
    random: &dyn Random,
    clock: &dyn Clock,
    uploads: Vec<Upload>,
) -> Result<Vec<PartRecord>, Error> {
    let mut records: Vec<PartRecord> = Vec::with_capacity(uploads.len());
    let is_small = |upload: &&Upload| upload.record.len_bytes < BUNDLE_BELOW_BYTES;
    let small = uploads.iter().filter(is_small).count();
    let mut bundle = Bundle::new(random, clock);
    for Upload { mut record, bytes } in uploads {
        assert_eq!(record.len_bytes, bytes.len() as u64, "part {} has this length", record.id);
        if small > 1 && record.len_bytes < BUNDLE_BELOW_BYTES {
            record.place = Place::Bundle { bundle: bundle.id, offset: bundle.push(bytes) };
            if bundle.len >= BUNDLE_TARGET_BYTES {
                std::mem::replace(&mut bundle, Bundle::new(random, clock)).put(bucket).await?;
            }
        } else {
            record.place = Place::Object;
            put(bucket, &record.path(), vec![bytes]).await?;
        }
        records.push(record);
    }
    bundle.put(bucket).await?;
    Ok(records)
}

/// A bundle being filled: parts one after the other, zeros between them up to the alignment.
struct Bundle {
    id: ulid::Ulid,
    chunks: Vec<Bytes>,
    len: u64,
}

impl Bundle {
    fn new(random: &dyn Random, clock: &dyn Clock) -> Bundle {
        Bundle { id: random.ulid(clock), chunks: Vec::new(), len: 0 }
    }

    /// Appends a part; returns its offset.
    fn push(&mut self, bytes: Bytes) -> u64 {
        let offset = self.len.next_multiple_of(ALIGN_BYTES);
        let gap = (offset - self.len) as usize;
        if gap > 0 {
            self.chunks.push(Bytes::from_static(&[0; ALIGN_BYTES as usize]).slice(..gap));
        }
        self.len = offset + bytes.len() as u64;
        self.chunks.push(bytes);
        offset
    }

    async fn put(self, bucket: &Bucket) -> Result<(), Error> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        put(bucket, &format!("{}/{}", catalog::paths::BUNDLES, self.id), self.chunks).await
    }
}

/// The same bytes under a name that nobody else uses: putting them again is harmless.
async fn put(bucket: &Bucket, path: &str, chunks: Vec<Bytes>) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        match bucket.put(path, chunks.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) if attempt == PUT_ATTEMPTS => return Err(error),
            Err(error) => tracing::warn!(%error, attempt, "upload again"),
        }
        attempt += 1;
    }
}
