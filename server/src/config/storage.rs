//! Where the rows are: `common`, `schema_config`, `storage_config`.

use std::time::Duration;

use base::ByteSize;

use super::accepted::{Accepted, Anything};
use super::blocks::blocks;
use super::stores::{
    AzureConfig, GcsConfig, ObjectAzureConfig, ObjectGcsConfig, ObjectS3Config, S3Config,
};

blocks! {
    /// `common`
    pub struct CommonConfig {
        /// Directory below which local state lies unless its own key says otherwise.
        path_prefix: String = "";
        /// Members that hold each row; 0 is 3, or the number of instances if that is less.
        replication_factor: u32 = "0";
        /// Address other instances reach this one at.
        instance_addr: String = "", ignored "ring.instance_addr is that address, with its port";
        /// Interfaces that address is taken from.
        instance_interface_names: Vec<String> = "",
            ignored "ring.instance_addr is that address, with its port";
        /// Whether it may be IPv6.
        instance_enable_ipv6: bool = "false",
            ignored "ring.instance_addr is that address, with its port";
        /// Whether tokens are kept.
        persist_tokens: bool = "false", ignored "they are in the log's directory";
        /// The object store, unless `storage_config` says otherwise.
        storage: CommonStorageConfig;
        /// Loki's rings.
        ring: Accepted = "ring", flag "common.storage.ring",
            ignored "the ring needs no store of its own: see the block ring";
        /// Where Loki's compactor is.
        compactor_address: String = "",
            ignored "nobody calls the compactor: the catalog says what it did";
        /// The same.
        compactor_grpc_address: String = "",
            ignored "nobody calls the compactor: the catalog says what it did";
    }

    /// `common.storage`
    pub struct CommonStorageConfig {
        /// A local directory.
        filesystem: CommonFilesystemConfig;
        /// S3 and what speaks its protocol.
        s3: S3Config;
        /// Google Cloud Storage.
        gcs: GcsConfig;
        /// Azure Blob Storage.
        azure: AzureConfig;
        /// Another store.
        swift: Accepted = "swift", later "Swift is not spoken";
        /// Another store.
        alibabacloud: Accepted = "alibabacloud", flag "common.storage.oss",
            later "Alibaba's store is not spoken; it speaks S3 too";
        /// Another store.
        bos: Accepted = "bos", later "Baidu's store is not spoken; it speaks S3 too";
        /// Another store.
        cos: Accepted = "cos", later "IBM's store is not spoken; it speaks S3 too";
        /// Requests that are sent twice.
        hedging: Accepted = "hedging", flag "common.storage.hedge-requests",
            ignored "requests are repeated, not sent twice";
        /// How many requests run at once.
        congestion_control: Accepted = "congestion_control",
            flag "common.storage.congestion-control",
            ignored "requests are repeated after a pause when the store says that it is busy";
        /// The same stores in the newer form.
        object_store: ObjectStoreConfig, flag "common.storage.object-store";
    }

    /// `common.storage.filesystem`
    pub struct CommonFilesystemConfig {
        /// Directory of parts and commits.
        chunks_directory: String = "", flag ".chunk-directory";
        /// Directory of rules.
        rules_directory: String = "", later "rules are not evaluated";
    }

    /// `schema_config`
    pub struct SchemaConfig {
        /// Periods in ascending order; rows before the first are refused, the last says the store.
        configs: Vec<SchemaPeriodConfig>;
    }

    /// `schema_config.configs[]`
    pub struct SchemaPeriodConfig {
        /// First UTC day, `YYYY-MM-DD`.
        from: String = "";
        /// Loki's index.
        store: String = "", ignored "the catalog is the index";
        /// `filesystem`, `s3` (or `aws`), `gcs` or `azure`.
        object_store: String = "";
        /// Loki's schema version.
        schema: String = "", ignored "parts have a version of their own";
        /// Loki's index tables.
        index: SchemaIndexConfig;
        /// Loki's older chunk tables.
        chunks: SchemaIndexConfig;
        /// Loki's older shards.
        row_shards: u32 = "16", ignored "there are no index tables";
    }

    /// `schema_config.configs[].index`
    pub struct SchemaIndexConfig {
        /// Prefix of Loki's tables.
        prefix: String = "", ignored "there are no index tables";
        /// What its keys begin with.
        path_prefix: String = "index/", ignored "there are no index tables";
        /// Period of Loki's tables.
        period: Duration = "0s", ignored "there are no index tables";
        /// Tags of Loki's tables.
        tags: Anything = "", ignored "there are no index tables";
    }

    /// `storage_config`
    pub struct StorageConfig {
        /// Which of Loki's two sets of storage clients counts; both are read here.
        use_thanos_objstore: bool = "true", ignored "both forms of the keys are read",
            flag "use-thanos-objstore";
        /// Memory of footers of parts that were read.
        footer_cache: ByteSize = "64MB";
        /// Memory of pieces of parts that were read from an object store; files have the system's.
        page_cache: ByteSize = "128MB";
        /// The same pieces on a disk of this machine: they are there after a restart.
        disk_cache: DiskCacheConfig;
        /// A local directory.
        filesystem: FilesystemConfig, flag "local";
        /// S3 and what speaks its protocol.
        aws: S3Config, flag "s3";
        /// Google Cloud Storage.
        gcs: GcsConfig, flag "gcs";
        /// Azure Blob Storage.
        azure: AzureConfig, flag "azure";
        /// The same in the newer form.
        object_store: ObjectStoreConfig, flag "object-store";
        /// Another store.
        swift: Accepted = "swift", flag "ruler.storage.swift-legacy", later "Swift is not spoken";
        /// Another store.
        alibabacloud: Accepted = "alibabacloud", flag "oss",
            later "Alibaba's store is not spoken; it speaks S3 too";
        /// Another store.
        bos: Accepted = "bos", flag "bos", later "Baidu's store is not spoken; it speaks S3 too";
        /// Another store.
        cos: Accepted = "cos", flag "cos", later "IBM's store is not spoken; it speaks S3 too";
        /// Stores of older periods.
        named_stores: Accepted = "named_stores", flag "named-stores",
            later "there is one store: that of the last schema period";
        /// Requests that are sent twice.
        hedging: Accepted = "hedging", flag "store.hedge-requests",
            ignored "requests are repeated, not sent twice";
        /// How many requests run at once.
        congestion_control: Accepted = "congestion_control", flag "store.congestion-control",
            ignored "requests are repeated after a pause when the store says that it is busy";
        /// Loki's index.
        tsdb_shipper: Accepted = "tsdb_shipper", flag "tsdb.shipper",
            ignored "the catalog is the index";
        /// Loki's older index.
        boltdb_shipper: Accepted = "boltdb_shipper", flag "boltdb.shipper",
            ignored "the catalog is the index";
        /// Bloom filters.
        bloom_shipper: Accepted = "bloom_shipper", flag "bloom",
            ignored "every part carries its own sketches";
        /// Loki's older index.
        boltdb: Accepted = "boltdb", flag "boltdb", ignored "the catalog is the index";
        /// Loki's older store.
        bigtable: Accepted = "bigtable", flag "bigtable", ignored "the catalog is the index";
        /// Loki's older store.
        cassandra: Accepted = "cassandra", flag "cassandra", ignored "the catalog is the index";
        /// A store behind gRPC.
        grpc_store: Accepted = "grpc_store", flag "grpc-store",
            later "a store behind gRPC is not spoken to";
        /// Chunks that are fetched at once.
        max_parallel_get_chunk: u32 = "150", ignored "ranges of parts are fetched as needed",
            flag "store.max-parallel-get-chunk";
        /// The same.
        max_chunk_batch_size: u32 = "50", ignored "pages are read as needed";
        /// Cache of Loki's index.
        index_queries_cache_config: Accepted = "cache", flag "store.index-cache-read",
            ignored "there are no index queries";
        /// The same.
        index_cache_validity: Duration = "5m", ignored "there are no index queries";
        /// Which index queries are refused.
        disable_broad_index_queries: bool = "false", ignored "there are no index queries";
    }

    /// `storage_config.disk_cache`
    pub struct DiskCacheConfig {
        /// Directory of this process alone. Empty: there is no such cache. A store that is a local
        /// directory needs none. Rows of parts that were removed stay in it until newer ones take
        /// their place.
        directory: String = "";
        /// Bytes of its files, at least 64MB. A few percent of the disk are left free in any case.
        /// Its index takes up to a 256th of it in memory.
        size: ByteSize = "10GB";
    }

    /// `storage_config.filesystem`
    pub struct FilesystemConfig {
        /// Directory of parts and commits.
        directory: String = "", flag "local.chunk-directory";
    }

    /// `storage_config.object_store`
    pub struct ObjectStoreConfig {
        /// Put before every object name.
        storage_prefix: String = "";
        /// A local directory.
        filesystem: ObjectFilesystemConfig;
        /// S3 and what speaks its protocol.
        s3: ObjectS3Config;
        /// Google Cloud Storage.
        gcs: ObjectGcsConfig;
        /// Azure Blob Storage.
        azure: ObjectAzureConfig;
        /// Another store.
        swift: Accepted = "thanos_swift", later "Swift is not spoken";
        /// Another store.
        alibabacloud: Accepted = "thanos_alibabacloud",
            later "Alibaba's store is not spoken; it speaks S3 too";
        /// Another store.
        cos: Accepted = "thanos_cos", later "Tencent's store is not spoken; it speaks S3 too";
        /// Another store.
        bos: Accepted = "thanos_bos", later "Baidu's store is not spoken; it speaks S3 too";
        /// Stores of older periods.
        named_stores: Accepted = "named_stores",
            later "there is one store: that of the last schema period";
    }

    /// `storage_config.object_store.filesystem`
    pub struct ObjectFilesystemConfig {
        /// Directory of parts and commits.
        dir: String = "";
    }
}
