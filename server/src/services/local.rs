//! Calls that stay in the process: plain ones, or with `RUNELOG_FORCE_WIRE=1` serialised and parsed
//! as between processes, which tests compare.

use std::sync::Arc;

use ingester::Ingester;
use query_frontend::Frontend;
use rpc::wire::Loopback;
use rpc::{FrontendApi, IngesterApi};

fn is_wire_forced() -> bool {
    std::env::var_os("RUNELOG_FORCE_WIRE").is_some_and(|value| value == "1")
}

/// An ingester of this process for its distributor and its querier.
pub fn ingester(ingester: Arc<Ingester>) -> Arc<dyn IngesterApi> {
    if is_wire_forced() { Arc::new(Loopback::new(ingester)) } else { ingester }
}

/// A frontend of this process for the workers of its querier.
pub fn frontend(frontend: Arc<Frontend>) -> Arc<dyn FrontendApi> {
    if is_wire_forced() { Arc::new(Loopback::new(frontend)) } else { frontend }
}
