//! Where the rows are: `common`, `schema_config`, `storage_config`.

use base::ByteSize;

use super::root::RingConfig;
use super::value::{Secret, blocks};

blocks! {
    /// `common`
    pub struct CommonConfig {
        /// Directory below which local state lies unless its own key says otherwise.
        path_prefix: String = "";
        /// Members that hold each row; 0 is 3, or the number of instances if that is less.
        replication_factor: u32 = "0";
        /// Address other instances reach this one at.
        instance_addr: String = "", later "there is no ring";
        /// Interfaces that address is taken from.
        instance_interface_names: Vec<String> = "", later "there is no ring";
        /// The object store, unless `storage_config` says otherwise.
        storage: CommonStorageConfig;
        /// Loki's rings.
        ring: RingConfig;
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
    }

    /// `common.storage.filesystem`
    pub struct CommonFilesystemConfig {
        /// Directory of parts and commits.
        chunks_directory: String = "";
        /// Directory of rules.
        rules_directory: String = "", later "there is no ruler";
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
    }

    /// `schema_config.configs[].index`
    pub struct SchemaIndexConfig {
        /// Prefix of Loki's tables.
        prefix: String = "", ignored "there are no index tables";
        /// Period of Loki's tables.
        period: String = "", ignored "there are no index tables";
    }

    /// `storage_config`
    pub struct StorageConfig {
        /// Which of Loki's two sets of storage clients counts; both are read here.
        use_thanos_objstore: bool = "true", ignored "both forms of the keys are read";
        /// Memory of footers of parts that were read.
        footer_cache: ByteSize = "64MB";
        /// A local directory.
        filesystem: FilesystemConfig;
        /// S3 and what speaks its protocol.
        aws: S3Config;
        /// Google Cloud Storage.
        gcs: GcsConfig;
        /// Azure Blob Storage.
        azure: AzureConfig;
        /// The same in the newer form.
        object_store: ObjectStoreConfig;
    }

    /// `storage_config.filesystem`
    pub struct FilesystemConfig {
        /// Directory of parts and commits.
        directory: String = "";
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
        gcs: GcsConfig;
        /// Azure Blob Storage.
        azure: AzureConfig;
    }

    /// `storage_config.object_store.filesystem`
    pub struct ObjectFilesystemConfig {
        /// Directory of parts and commits.
        dir: String = "";
    }

    /// `storage_config.object_store.s3`
    pub struct ObjectS3Config {
        /// The bucket; it must exist.
        bucket_name: String = "";
        /// Host of the service; empty is Amazon's for the region.
        endpoint: String = "";
        /// Region.
        region: String = "";
        /// Access key; empty takes the environment's or the instance's credentials.
        access_key_id: String = "";
        /// Secret key.
        secret_access_key: Secret = "";
        /// Session token.
        session_token: Secret = "";
        /// Plain HTTP instead of TLS.
        insecure: bool = "false";
    }

    /// `storage_config.aws`, `common.storage.s3`
    pub struct S3Config {
        /// `s3://key:secret@region/bucket`, `s3://region/bucket` or `s3://bucket`.
        s3: Secret = "";
        /// The bucket; it must exist. The first of a comma list is used.
        bucketnames: String = "";
        /// Host of the service; empty is Amazon's for the region.
        endpoint: String = "";
        /// Region.
        region: String = "";
        /// Access key; empty takes the environment's or the instance's credentials.
        access_key_id: String = "";
        /// Secret key.
        secret_access_key: Secret = "";
        /// Session token.
        session_token: Secret = "";
        /// Plain HTTP instead of TLS.
        insecure: bool = "false";
        /// Bucket in the path instead of the host name.
        s3forcepathstyle: bool = "false";
    }

    /// `gcs`
    pub struct GcsConfig {
        /// The bucket; it must exist.
        bucket_name: String = "";
        /// Key of a service account, as JSON; empty takes the environment's credentials.
        service_account: Secret = "";
        /// Loki's upload buffer.
        chunk_buffer_size: ByteSize = "0", ignored "parts are uploaded from memory";
        /// Loki's request timeout.
        request_timeout: String = "0s", ignored "requests have one timeout for every store";
    }

    /// `azure`
    pub struct AzureConfig {
        /// Storage account.
        account_name: String = "";
        /// Key of the account; empty takes the environment's credentials.
        account_key: Secret = "";
        /// The container; it must exist.
        container_name: String = "";
        /// Connection string instead of account and key.
        connection_string: Secret = "";
        /// Host suffix of other clouds; empty is the public one's.
        endpoint_suffix: String = "";
        /// Whether the machine's identity is used.
        use_managed_identity: bool = "false";
        /// Identity of the machine to use when it has several.
        user_assigned_id: String = "";
        /// Service principal.
        client_id: String = "";
        /// Secret of the service principal.
        client_secret: Secret = "";
        /// Directory (tenant) of the service principal.
        tenant_id: String = "";
        /// Loki's request timeout.
        request_timeout: String = "0s", ignored "requests have one timeout for every store";
    }
}
