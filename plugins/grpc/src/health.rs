//! `grpc.health.v1.Health`: a service here is well if the one behind it is.

use crate::partner::Partners;
use crate::pb::health::health_check_response::ServingStatus;
use crate::pb::health::{HealthCheckRequest, HealthCheckResponse};
use crate::reflection;
use crate::status::{Code, Status};

pub(crate) fn check(request: HealthCheckRequest, partners: &Partners) -> Result<HealthCheckResponse, Status> {
    let well = match request.service.as_str() {
        "" => true,
        "wharf.shop.v1.Catalog" => partners.is_well("catalog")?,
        "wharf.shop.v1.Orders" => partners.is_well("orders")?,
        other if reflection::services().any(|known| known == other) => true,
        _ => return Err(Status::new(Code::NotFound, "there is no such service")),
    };
    let status = if well { ServingStatus::Serving } else { ServingStatus::NotServing };
    Ok(HealthCheckResponse { status: status.into() })
}
