//! `cluster.json` (C6): whose bucket this is. Created once, never changed.

use base::StoreId;
use catalog::paths;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::bucket::{Bucket, Created};
use crate::error::Error;
use crate::metrics::CORRUPT;

const FORMAT: u32 = 1;
const MAX_BYTES: u64 = 64 * 1024;

/// The cluster that a bucket belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its id; messages of another one are refused.
    pub id: Ulid,
    /// The stores that bootstrap the ring.
    pub first_voters: Vec<StoreId>,
}

/// The object's text: readable by people, with a checksum like everything stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    cluster_id: String,
    first_voters: Vec<String>,
    /// crc32c of `cluster_id` and the voters, each followed by a newline.
    crc32c: u32,
}

impl Cluster {
    /// The cluster of `bucket`; if it has none yet, it becomes `founder`'s. `expected` is the
    /// configured id: another one in the bucket is [`Error::ForeignCluster`].
    pub async fn join(
        bucket: &Bucket,
        founder: &Cluster,
        expected: Option<Ulid>,
    ) -> Result<Cluster, Error> {
        let founder = Cluster { id: expected.unwrap_or(founder.id), ..founder.clone() };
        let cluster = match bucket.find(paths::CLUSTER, MAX_BYTES).await? {
            Some(bytes) => Cluster::decode(bucket, &bytes)?,
            // A lost answer shows as "exists" next time: the object decides either way.
            None => match bucket.create(paths::CLUSTER, founder.encode().into()).await? {
                Created::Now => founder,
                Created::Exists => {
                    Cluster::decode(bucket, &bucket.get(paths::CLUSTER, MAX_BYTES).await?)?
                }
            },
        };
        match expected {
            Some(expected) if expected != cluster.id => Err(Error::ForeignCluster {
                store: bucket.name().to_owned(),
                found: cluster.id.to_string(),
                expected: expected.to_string(),
            }),
            _ => Ok(cluster),
        }
    }

    /// The cluster of `bucket`, if it has one: for processes that must not found one.
    pub async fn find(bucket: &Bucket) -> Result<Option<Cluster>, Error> {
        let found = bucket.find(paths::CLUSTER, MAX_BYTES).await?;
        found.map(|bytes| Cluster::decode(bucket, &bytes)).transpose()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let cluster_id = self.id.to_string();
        let first_voters: Vec<String> = self.first_voters.iter().map(StoreId::to_string).collect();
        let crc32c = checksum(&cluster_id, &first_voters);
        let stored = Stored { format: FORMAT, cluster_id, first_voters, crc32c };
        let mut text = serde_json::to_vec_pretty(&stored).expect("strings and numbers are JSON");
        text.push(b'\n');
        text
    }

    fn decode(bucket: &Bucket, bytes: &[u8]) -> Result<Cluster, Error> {
        Cluster::parse(bytes).map_err(|problem| {
            metrics::counter!(CORRUPT, "object" => "cluster").increment(1);
            bucket.damaged(paths::CLUSTER, problem)
        })
    }

    /// Reads the object's text; the error says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Cluster, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if stored.format != FORMAT {
            return Err(format!("format {} is not known to this program", stored.format));
        }
        let computed = checksum(&stored.cluster_id, &stored.first_voters);
        if computed != stored.crc32c {
            return Err(format!("checksum {} does not match {computed}", stored.crc32c));
        }
        let ulid = |text: &String| {
            Ulid::from_string(text).map_err(|error| format!("{text} is no ULID: {error}"))
        };
        let id = ulid(&stored.cluster_id)?;
        let voters: Result<Vec<Ulid>, String> = stored.first_voters.iter().map(ulid).collect();
        Ok(Cluster { id, first_voters: voters?.into_iter().map(StoreId).collect() })
    }
}

fn checksum(cluster_id: &str, voters: &[String]) -> u32 {
    let mut sum = 0;
    for line in std::iter::once(cluster_id).chain(voters.iter().map(String::as_str)) {
        sum = crc32c::crc32c_append(sum, line.as_bytes());
        sum = crc32c::crc32c_append(sum, b"\n");
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use base::ErrorKind;
    use base::time::ManualClock;

    use super::*;
    use crate::testing::{Fault, FaultyStore};

    fn founder(n: u128) -> Cluster {
        Cluster { id: Ulid(n), first_voters: vec![StoreId(Ulid(n + 1)), StoreId(Ulid(n + 2))] }
    }

    fn bucket() -> (Arc<FaultyStore>, Bucket) {
        let store = FaultyStore::new();
        (store.clone(), Bucket::new("b".into(), store, Arc::new(ManualClock::default())))
    }

    #[tokio::test]
    async fn the_first_founds_the_cluster_and_everybody_else_joins_it() {
        let (_, bucket) = bucket();
        assert_eq!(Cluster::find(&bucket).await.unwrap(), None);
        assert_eq!(Cluster::join(&bucket, &founder(1), None).await.unwrap(), founder(1));
        assert_eq!(Cluster::find(&bucket).await.unwrap(), Some(founder(1)));
        assert_eq!(Cluster::join(&bucket, &founder(7), None).await.unwrap(), founder(1));
        let text = bucket.get(paths::CLUSTER, 1000).await.unwrap();
        assert_eq!(Cluster::parse(&text), Ok(founder(1)));
    }

    #[tokio::test]
    async fn a_foreign_bucket_is_refused() {
        let (_, bucket) = bucket();
        Cluster::join(&bucket, &founder(1), None).await.unwrap();
        let error = Cluster::join(&bucket, &founder(1), Some(Ulid(9))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&Ulid(9).to_string()), "{error}");
        assert!(Cluster::join(&bucket, &founder(3), Some(Ulid(1))).await.is_ok());
    }

    #[tokio::test]
    async fn a_lost_answer_still_founds_one_cluster() {
        let (store, bucket) = bucket();
        store.script(BTreeMap::from([(0, Fault::LostAnswer)]), BTreeMap::new());
        assert!(Cluster::join(&bucket, &founder(1), None).await.is_err());
        assert_eq!(Cluster::join(&bucket, &founder(5), None).await.unwrap(), founder(1));
    }

    #[tokio::test]
    async fn a_changed_character_is_noticed() {
        let (_, bucket) = bucket();
        Cluster::join(&bucket, &founder(1), None).await.unwrap();
        let text = bucket.get(paths::CLUSTER, 1000).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap().replace('4', "5").replace('3', "2");
        bucket.put(paths::CLUSTER, vec![text.into()]).await.unwrap();
        let error = Cluster::join(&bucket, &founder(1), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(paths::CLUSTER), "{error}");
    }

    #[test]
    fn no_text_breaks_the_reader() {
        for text in
            ["", "{}", "[]", "{\"format\":2}", "\u{0}", "{\"format\":1,\"cluster_id\":\"x\""]
        {
            assert!(Cluster::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
