//! Tests across crates. `e2e/` starts the real binary; `sim/` attacks the ingester's durable path
//! through a simulated disk and a faulty store; `conformance/` holds recorded requests and answers.
