//! What a lab on containers consists of: `stack/compose.yaml`, read into a [`Stack`], and the files that it mounts. The
//! file is a documented subset of the Compose Specification; what only lab knows stands under `x-lab`.

mod model;

pub use model::{
    Bind, Condition, HealthCheck, Limits, Mount, Optional, Port, Service, Stack, VolumeMount, XLab, XLabApp,
    XLabGateway,
};
