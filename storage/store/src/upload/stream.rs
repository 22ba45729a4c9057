//! Uploading a part while it is made.

use bytes::Bytes;
use object_store::MultipartUpload;

use crate::bucket::Bucket;
use crate::error::Error;

/// Bytes of one request. Stores want at least 5 MiB, some want all of the same size, and none takes
/// more than 10,000 of them.
const REQUEST_BYTES: usize = 8 << 20;

/// An object that is uploaded piece by piece. Holds the bytes of one request, whatever the size of
/// the object; nothing is visible before [`Streamed::finish`].
pub struct Streamed {
    bucket: Bucket,
    path: String,
    request_bytes: usize,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    total_bytes: u64,
    /// Begun with the second request.
    begun: Option<Box<dyn MultipartUpload>>,
}

impl Streamed {
    /// Sends no request yet.
    pub fn new(bucket: &Bucket, path: String) -> Streamed {
        Streamed::with_request_bytes(bucket, path, REQUEST_BYTES)
    }

    pub(crate) fn with_request_bytes(
        bucket: &Bucket,
        path: String,
        request_bytes: usize,
    ) -> Streamed {
        let (pending, bucket) = (Vec::new(), bucket.clone());
        Streamed {
            bucket,
            path,
            request_bytes,
            pending,
            pending_bytes: 0,
            total_bytes: 0,
            begun: None,
        }
    }

    /// Appends to the object.
    ///
    /// # Errors
    /// The upload is over; call [`Streamed::abandon`].
    pub async fn push(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        self.total_bytes += bytes.len() as u64;
        while self.pending_bytes + bytes.len() > self.request_bytes {
            let now = bytes.split_to(self.request_bytes - self.pending_bytes);
            self.hold(now);
            self.send().await?;
        }
        self.hold(bytes);
        Ok(())
    }

    fn hold(&mut self, bytes: Bytes) {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
    }

    async fn send(&mut self) -> Result<(), Error> {
        let begun = match &mut self.begun {
            Some(begun) => begun,
            none => none.insert(self.bucket.begin_multipart(&self.path).await?),
        };
        self.pending_bytes = 0;
        let chunks = std::mem::take(&mut self.pending);
        self.bucket.put_piece(&self.path, begun.as_mut(), chunks).await
    }

    /// Makes the object visible; gives its length.
    ///
    /// # Errors
    /// It is unknown whether the object is there.
    pub async fn finish(mut self) -> Result<u64, Error> {
        if self.begun.is_none() {
            super::put(&self.bucket, &self.path, self.pending).await?;
            return Ok(self.total_bytes);
        }
        if self.pending_bytes > 0
            && let Err(error) = self.send().await
        {
            self.abandon().await;
            return Err(error);
        }
        if let Some(begun) = &mut self.begun {
            self.bucket.complete_multipart(&self.path, begun.as_mut()).await?;
        }
        Ok(self.total_bytes)
    }

    /// Tells the store that nothing will come of it. A process that dies before leaves an unfinished
    /// upload, which the store's own rules remove.
    pub async fn abandon(self) {
        if let Some(mut begun) = self.begun
            && let Err(error) = begun.abort().await
        {
            tracing::warn!(%error, path = self.path, "an unfinished upload is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::time::SystemClock;

    use super::*;
    use crate::config::BucketConfig;

    #[tokio::test]
    async fn an_object_of_any_number_of_requests_is_what_was_pushed() {
        let dir = tempfile::tempdir().unwrap();
        let local = BucketConfig::Filesystem { dir: dir.path().to_owned() };
        for config in [BucketConfig::InMemory, local] {
            let bucket = Bucket::open(&config, Arc::new(SystemClock)).unwrap();
            for len in [0usize, 1, 9, 10, 11, 20, 95] {
                let whole: Vec<u8> = (0..len).map(|at| at as u8).collect();
                let path = format!("parts/a/2025-01-01/{len}");
                let mut upload = Streamed::with_request_bytes(&bucket, path.clone(), 10);
                for chunk in whole.chunks(7) {
                    upload.push(Bytes::copy_from_slice(chunk)).await.unwrap();
                    assert!(bucket.find(&path, 100).await.unwrap().is_none());
                }
                assert_eq!(upload.finish().await.unwrap(), len as u64);
                assert_eq!(bucket.get(&path, 100).await.unwrap(), whole);
            }
            let mut upload = Streamed::with_request_bytes(&bucket, "parts/x".into(), 10);
            upload.push(Bytes::from_static(&[1; 35])).await.unwrap();
            upload.abandon().await;
            assert!(bucket.find("parts/x", 100).await.unwrap().is_none());
        }
    }
}
