//! Clients of the clouds' object stores.

use std::time::Duration;

use base::ByteSize;

use super::accepted::Accepted;
use super::blocks::blocks;
use super::scalar::{Secret, SecretUrl};

blocks! {
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
        /// How the bucket is named in requests.
        bucket_lookup_type: String = "auto", ignored "the bucket is in the path";
        /// The same.
        dualstack_enabled: bool = "true", ignored "the region's own host is used";
        /// Signing of requests.
        signature_version: String = "v4", ignored "requests are signed by version 4";
        /// How lists are asked for.
        list_objects_version: String = "", ignored "version 2 is asked for";
        /// What is stored how.
        storage_class: String = "", later "objects have the bucket's default storage class";
        /// Whether credentials come from the instance.
        native_aws_auth_enabled: bool = "false",
            ignored "empty keys take the environment's or the instance's credentials";
        /// Parts of an upload.
        part_size: u64 = "0", ignored "the size of an upload decides how it is cut";
        /// Whether uploads carry checksums.
        send_content_md5: bool = "false", ignored "every object has checksums inside";
        /// Role that is taken on.
        sts_endpoint: String = "", ignored "the environment says how a role is taken on";
        /// Connections and retries.
        max_retries: u32 = "10", ignored "requests are repeated the same way for every store";
        /// Encryption at rest.
        sse: Accepted = "sse", later "objects are encrypted as the bucket says";
        /// How connections are tuned.
        http: Accepted = "http_client", ignored "connections are the same for every store";
        /// What is traced.
        trace: Accepted = "trace", ignored "requests are in the traces of the process";
    }

    /// `storage_config.aws`, `common.storage.s3`
    pub struct S3Config {
        /// `s3://key:secret@region/bucket`, `s3://region/bucket` or `s3://bucket`.
        s3: SecretUrl = "", flag ".url";
        /// The bucket; it must exist. The first of a comma list is used.
        bucketnames: String = "", flag ".buckets";
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
        s3forcepathstyle: bool = "false", flag ".force-path-style";
        /// What stands between parts of a name.
        chunk_delimiter: String = "", ignored "there are no chunks";
        /// How the region's host is chosen.
        disable_dualstack: bool = "false", ignored "the region's own host is used";
        /// Signing of requests.
        signature_version: String = "v4", ignored "requests are signed by version 4";
        /// What is stored how.
        storage_class: String = "STANDARD",
            later "objects have the bucket's default storage class";
        /// Loki's older switch of encryption at rest.
        sse_encryption: bool = "false", later "objects are encrypted as the bucket says";
        /// Encryption at rest.
        sse: Accepted = "sse", later "objects are encrypted as the bucket says";
        /// How connections are tuned.
        http_config: Accepted = "http_client", flag ".http",
            ignored "connections are the same for every store";
        /// Pauses between attempts.
        backoff_config: Accepted = "backoff", flag ".backoff",
            ignored "requests are repeated the same way for every store";
        /// Loki's older index.
        dynamodb: Accepted = "dynamodb", flag ".dynamodb", ignored "the catalog is the index";
    }

    /// `gcs`
    pub struct GcsConfig {
        /// The bucket; it must exist.
        bucket_name: String = "", flag ".bucketname";
        /// Key of a service account, as JSON; empty takes the environment's credentials.
        service_account: Secret = "";
        /// Loki's upload buffer.
        chunk_buffer_size: ByteSize = "0", ignored "parts are uploaded from memory";
        /// Loki's request timeout.
        request_timeout: Duration = "0s", ignored "requests have one timeout for every store";
        /// Traces of Google's client.
        enable_opencensus: bool = "true", ignored "requests are in the traces of the process";
        /// Whether HTTP/2 is spoken.
        enable_http2: bool = "true", ignored "the server decides which HTTP is spoken";
        /// Whether requests are repeated.
        enable_retries: bool = "true", ignored "requests are repeated the same way for every store";
    }

    /// `object_store.gcs`
    pub struct ObjectGcsConfig {
        /// The bucket; it must exist.
        bucket_name: String = "";
        /// Key of a service account, as JSON; empty takes the environment's credentials.
        service_account: Secret = "";
        /// Loki's upload buffer.
        chunk_buffer_size: ByteSize = "0", ignored "parts are uploaded from memory";
        /// Attempts.
        max_retries: u32 = "10", ignored "requests are repeated the same way for every store";
        /// How connections are tuned.
        http: Accepted = "http_client", ignored "connections are the same for every store";
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
        use_managed_identity: bool = "false",
            ignored "without a key the environment's credentials are used";
        /// Identity of the machine to use when it has several.
        user_assigned_id: String = "";
        /// Service principal.
        client_id: String = "";
        /// Secret of the service principal.
        client_secret: Secret = "";
        /// Directory (tenant) of the service principal.
        tenant_id: String = "";
        /// Which cloud.
        environment: String = "AzureGlobal", ignored "endpoint_suffix says which cloud it is";
        /// Whether the identity of a pod is used.
        use_federated_token: bool = "false",
            ignored "without a key the environment's credentials are used";
        /// Whether a service principal is used.
        use_service_principal: bool = "false",
            ignored "it is used where client_id and client_secret are set";
        /// What stands between parts of a name.
        chunk_delimiter: String = "-", ignored "there are no chunks";
        /// Buffers.
        download_buffer_size: ByteSize = "512000", ignored "ranges are read into memory";
        /// Buffers.
        upload_buffer_size: ByteSize = "256000", ignored "parts are uploaded from memory";
        /// Buffers.
        upload_buffer_count: u32 = "1", ignored "parts are uploaded from memory";
        /// Loki's request timeout.
        request_timeout: Duration = "30s", ignored "requests have one timeout for every store";
        /// Attempts.
        max_retries: u32 = "5", ignored "requests are repeated the same way for every store";
        /// Pauses.
        min_retry_delay: Duration = "10ms",
            ignored "requests are repeated the same way for every store";
        /// Pauses.
        max_retry_delay: Duration = "500ms",
            ignored "requests are repeated the same way for every store";
    }

    /// `object_store.azure`
    pub struct ObjectAzureConfig {
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
        /// Identity of the machine to use when it has several.
        user_assigned_id: String = "";
        /// Service principal.
        client_id: String = "";
        /// Secret of the service principal.
        client_secret: Secret = "";
        /// Directory (tenant) of the service principal.
        az_tenant_id: String = "";
        /// Attempts.
        max_retries: u32 = "3", ignored "requests are repeated the same way for every store";
        /// How connections are tuned.
        http: Accepted = "http_client", ignored "connections are the same for every store";
    }
}
