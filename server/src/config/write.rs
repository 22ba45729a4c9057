//! The way of a push: `distributor`, `ingester`, `ingester_client`.

use std::time::Duration;

use base::ByteSize;

use super::accepted::Accepted;
use super::blocks::blocks;
use super::tls::GrpcClientConfig;

blocks! {
    /// `distributor`
    pub struct DistributorConfig {
        /// Largest body of a push as sent; over it: 413.
        max_recv_msg_size: ByteSize = "100MB";
        /// Largest body of a push after gzip or deflate is undone; over it: 413. What all pushes
        /// hold together is bounded by `server.http_body_budget`.
        max_decompressed_size: ByteSize = "5000MB";
        /// Resource attributes of OTLP that become labels.
        otlp_config: OtlpConfig, flag "distributor.otlp";
        /// Loki's members.
        ring: Accepted = "ring",
            ignored "distributors find each other in the ring of the ingesters";
        /// Goroutines that send to ingesters.
        push_worker_count: u32 = "256", ignored "a push waits for its own batches";
        /// How rates of streams are learned.
        rate_store: Accepted = "rate_store", ignored "streams are not cut by rate";
        /// What is logged of refused pushes.
        write_failures_logging: Accepted = "write_failures",
            ignored "refused pushes are counted by reason";
        /// Pushes to Kafka.
        kafka_writes_enabled: bool = "false", later "pushes go to the ingesters only";
        /// Pushes to ingesters.
        ingester_writes_enabled: bool = "true",
            ignored "pushes always go to the ingesters";
        /// Limits by a service of their own.
        ingest_limits_enabled: bool = "false",
            ignored "distributors and ingesters limit on their own";
        /// The same, only counted.
        ingest_limits_dry_run_enabled: bool = "false",
            ignored "distributors and ingesters limit on their own";
        /// Topics of tenants in Kafka.
        tenant_topic: TenantTopicConfig, flag "distributor.tenant-topic-tee";
        /// Mapping of streams to policies.
        default_policy_stream_mappings: Vec<String> = "", later "there are no policies";
    }

    /// `distributor.otlp_config`
    pub struct OtlpConfig {
        /// Resource attributes of OTLP that become labels; the others become metadata.
        default_resource_attributes_as_index_labels: Vec<String> = "service.name,\
            service.namespace,service.instance.id,deployment.environment,\
            deployment.environment.name,cloud.region,cloud.availability_zone,k8s.cluster.name,\
            k8s.namespace.name,k8s.pod.name,k8s.container.name,container.name,\
            k8s.replicaset.name,k8s.deployment.name,k8s.statefulset.name,k8s.daemonset.name,\
            k8s.cronjob.name,k8s.job.name";
    }

    /// `distributor.tenant_topic`
    pub struct TenantTopicConfig {
        /// Whether tenants have topics.
        enabled: bool = "false", later "pushes go to the ingesters only";
        /// What their names begin with.
        topic_prefix: String = "loki.tenant", ignored "pushes go to the ingesters only";
        /// How they are cut.
        max_bytes_per_topic_part: ByteSize = "0", ignored "pushes go to the ingesters only";
        /// How they are chosen.
        strategy: String = "simple", ignored "pushes go to the ingesters only";
        /// What their errors mean.
        best_effort: bool = "true", ignored "pushes go to the ingesters only";
    }

    /// `ingester`
    pub struct IngesterConfig {
        /// How often it is checked what must be flushed.
        flush_check_period: Duration = "30s";
        /// Rows of a tenant's day are flushed when nothing was added for so long.
        chunk_idle_period: Duration = "30m", flag "ingester.chunks-idle-period";
        /// Rows are flushed at this age; also twice Loki's out-of-order window.
        max_chunk_age: Duration = "2h";
        /// Unflushed bytes of a tenant's day that start a flush. More: fewer and larger parts,
        /// more memory, a longer log to replay.
        flush_bytes: ByteSize = "64MB";
        /// Memory of unflushed rows; 0 is a quarter of the memory of this process, at most 512MB.
        /// Over it pushes get 503.
        memory_limit: ByteSize = "0";
        /// A checkpoint of the catalog is written after so many commits. Fewer: faster starts,
        /// more objects written.
        checkpoint_commits: u64 = "64";
        /// Flushes at the same time.
        concurrent_flushes: u32 = "32";
        /// The log that makes an acknowledged line durable.
        wal: WalConfig;
        /// Directory of the mark that `/ingester/prepare_shutdown` sets, which makes the next stop
        /// flush everything; empty: that route answers 500.
        shutdown_marker_path: String = "", flag "ingester.shutdown-marker-path";
        /// Codec of chunks in Loki.
        chunk_encoding: String = "gzip", ignored "parts choose lz4 or zstd by measurement";
        /// Size of chunks in Loki.
        chunk_target_size: ByteSize = "1572864",
            ignored "parts hold many streams; their size is the flush's";
        /// Size of blocks of chunks in Loki.
        chunk_block_size: ByteSize = "262144", ignored "pages have a fixed size",
            flag "ingester.chunks-block-size";
        /// How long Loki keeps flushed chunks.
        chunk_retain_period: Duration = "0s", flag "ingester.chunks-retain-period",
            ignored "flushed rows stay for 60 s, as the read protocol wants";
        /// Pauses between attempts to flush.
        flush_op_backoff: FlushBackoffConfig, flag "ingester.flush-op-backoff";
        /// The longest a flush may take.
        flush_op_timeout: Duration = "10m",
            ignored "a flush is repeated until it is committed";
        /// How Loki aligns chunks of replicas.
        sync_period: Duration = "1h", ignored "one replica flushes: there is nothing to align";
        /// The same.
        sync_min_utilization: f64 = "0.1",
            ignored "one replica flushes: there is nothing to align";
        /// Refused rows that are named in an answer.
        max_returned_stream_errors: u32 = "10",
            ignored "ten refused rows are named", flag "ingester.max-ignored-stream-errors";
        /// How far back Loki's ingesters ask the store.
        query_store_max_look_back_period: Duration = "0s",
            flag "ingester.query-store-max-look-back-period",
            ignored "ingesters answer for their own rows only";
        /// Locks of Loki's index in memory.
        index_shards: u32 = "32", ignored "the head has no locks to share out";
        /// Streams Loki forgets at once.
        max_dropped_streams: u32 = "10", flag "ingester.tailer.max-dropped-streams",
            ignored "there is no tail of its own in ingesters";
        /// How often Loki looks which streams moved.
        owned_streams_check_interval: Duration = "30s",
            ignored "a stream's owner is decided for every batch";
        /// Whether Loki removes lost members.
        autoforget_unhealthy: bool = "false",
            ignored "a lost ingester goes by itself once all others have cleared it";
        /// Attempts to hand over chunks.
        max_transfer_retries: u32 = "0", flag "ingester.max-transfer-retries",
            ignored "nothing is handed over: rows are in the log and then in the store";
        /// Rows through Kafka.
        kafka_ingestion: Accepted = "kafka_ingestion", flag "ingester.kafka-ingestion",
            ignored "pushes go to the ingesters directly";
        /// Loki's place in the ring.
        lifecycler: LifecyclerConfig, flag "ingester";
    }

    /// `ingester.flush_op_backoff`
    pub struct FlushBackoffConfig {
        /// Shortest pause.
        min_period: Duration = "10s", flag ".backoff-min-period",
            ignored "pauses grow from a second to a minute";
        /// Longest pause.
        max_period: Duration = "1m", flag ".backoff-max-period",
            ignored "pauses grow from a second to a minute";
        /// Attempts.
        max_retries: u32 = "10", flag ".backoff-retries",
            ignored "a flush is repeated until it is committed";
    }

    /// `ingester.wal`
    pub struct WalConfig {
        /// Loki can switch its log off.
        enabled: bool = "true", ignored "the log stays on: an acknowledged line is always durable",
            flag "ingester.wal-enabled";
        /// Directory of the log; empty is `wal` below `common.path_prefix`.
        dir: String = "", flag "ingester.wal-dir";
        /// Whether a stop flushes every row; otherwise the next start replays them.
        flush_on_shutdown: bool = "false", flag "ingester.flush-on-shutdown";
        /// Share of the disk in use over which pushes get 503.
        disk_full_threshold: f64 = "0.9", flag "ingester.wal-disk-full-threshold";
        /// Size of the log over which its oldest rows are flushed early; 0 is 8 GB or a fifth of
        /// the disk, whichever is less.
        max_bytes: ByteSize = "0", flag "ingester.wal-max-bytes";
        /// Loki's ceiling during replay.
        replay_memory_ceiling: ByteSize = "4GB", ignored "replay streams in bounded memory",
            flag "ingester.wal-replay-memory-ceiling";
        /// Loki's checkpoints of its log.
        checkpoint_duration: Duration = "5m", ignored "segments go when commits claim them",
            flag "ingester.checkpoint-duration";
    }

    /// `ingester.lifecycler`
    pub struct LifecyclerConfig {
        /// Loki's ring.
        ring: LifecyclerRingConfig, flag "ring";
        /// How long Loki waits until it is ready.
        min_ready_duration: Duration = "15s", ignored "ready as soon as the log is replayed";
        /// How long Loki waits before it ends.
        final_sleep: Duration = "0s", ignored "nothing is waited for after the drain";
        /// Loki's tokens.
        num_tokens: u32 = "128", ignored "ring.tokens is the number";
        /// How often Loki says that it lives.
        heartbeat_period: Duration = "5s", ignored "a failed call says that an ingester is down";
        /// After how long it is thought dead.
        heartbeat_timeout: Duration = "1m", ignored "a failed call says that an ingester is down";
        /// How long Loki looks whether its tokens are its own.
        observe_period: Duration = "0s", ignored "the ring agrees on tokens";
        /// How long Loki waits for another to leave.
        join_after: Duration = "0s", ignored "an ingester is used once it is ready";
        /// Interfaces its address is taken from.
        interface_names: Vec<String> = "", flag "ingester.lifecycler.interface",
            ignored "ring.instance_addr is that address, with its port";
        /// IPv6.
        enable_inet6: bool = "false", flag "ingester.enable-inet6",
            ignored "ring.instance_addr is that address, with its port";
        /// File of its tokens.
        tokens_file_path: String = "", ignored "tokens are in the log's directory";
        /// Its zone.
        availability_zone: String = "", ignored "ring.instance_zone names it";
        /// Whether it leaves the ring when it ends.
        unregister_on_shutdown: bool = "true", flag "ingester.unregister-on-shutdown",
            ignored "an end that flushes leaves the ring, any other is a restart";
        /// Whether it is ready only when all others are.
        readiness_check_ring_health: bool = "true",
            flag "ingester.readiness-check-ring-health",
            ignored "an ingester is ready when its own log is replayed";
        /// Its address.
        address: String = "", flag "ingester.lifecycler.addr",
            ignored "ring.instance_addr is that address, with its port";
        /// Its port.
        port: u16 = "0", flag "ingester.lifecycler.port",
            ignored "ring.instance_addr is that address, with its port";
        /// Its name.
        id: String = "", flag "ingester.lifecycler.ID", ignored "ring.instance_id is its name";
    }

    /// `ingester.lifecycler.ring`
    pub struct LifecyclerRingConfig {
        /// Where Loki keeps its members.
        kvstore: Accepted = "kvstore", flag "ring",
            ignored "the ring needs no store of its own";
        /// When a member is thought dead.
        heartbeat_timeout: Duration = "1m", ignored "a failed call says that an ingester is down";
        /// Members that hold each row: the older place of `common.replication_factor`.
        replication_factor: u32 = "0", flag "distributor.replication-factor";
        /// Whether replicas are in zones of their own.
        zone_awareness_enabled: bool = "false",
            ignored "replicas are in different zones wherever ring.instance_zone names them",
            flag "distributor.zone-awareness-enabled";
        /// Zones that are not used.
        excluded_zones: String = "", later "no zone is left out",
            flag "distributor.excluded-zones";
    }

    /// `ingester_client`
    pub struct IngesterClientConfig {
        /// Ingesters as `host:port`, `dns+host:port` for every address of a name, for processes
        /// that are in no ring. Empty: those of the ring (`ring.join`), or the one in this process.
        addresses: Vec<String> = "", flag "ingester-client.addresses";
        /// The longest a call of an ingester may take.
        remote_timeout: Duration = "5s", flag "ingester.client.timeout";
        /// Loki's pool of connections.
        pool_config: Accepted = "pool", flag "ingester.client",
            ignored "there is one connection to each ingester";
        /// How connections to ingesters are made, those of the ring among them.
        grpc_client_config: GrpcClientConfig, flag "ingester.client";
    }
}
