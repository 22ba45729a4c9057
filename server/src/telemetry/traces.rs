//! Traces by OTLP over gRPC, when an endpoint is configured. Sampling, batching and resource
//! attributes are those of the OpenTelemetry SDK: `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`,
//! `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`.

use anyhow::{Context, Result};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};

use crate::config::targets::Targets;

/// Sends spans until it is flushed at the end.
#[derive(Clone)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Exports to `endpoint` (`http://host:4317`), lazily connected: a collector that is away costs
    /// spans, never a start or a request. Needs a runtime.
    pub fn start(endpoint: &str, targets: Targets) -> Result<Traces> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.with_context(|| format!("tracing.otlp_endpoint {endpoint:?}"))?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(service_name(targets));
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Traces(provider))
    }

    /// What makes spans.
    pub fn tracer(&self) -> Tracer {
        self.0.tracer("runelog")
    }

    /// Sends what is left and ends; may block.
    pub fn shutdown(&self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "not every span could be sent");
        }
    }
}

/// `runelog`, or `runelog-querier` where only some services run.
fn service_name(targets: Targets) -> String {
    if targets == Targets::ALL {
        return "runelog".to_owned();
    }
    let names: Vec<&str> = targets.iter().map(|target| target.name()).collect();
    format!("runelog-{}", names.join("-"))
}
