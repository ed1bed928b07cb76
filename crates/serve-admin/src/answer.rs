//! Path to response; no sockets here.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use types::PodName;

use crate::{Admin, Plan, Status};

/// Content type of the metrics (OpenMetrics 1.0, "Overall Structure").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Whoever ends a Pod asks here whether a node may still send it new connections.
const ENDPOINTS: &str = "/endpoints/";
const PATHS: &str =
    "/healthz\n/livez\n/readyz\n/metrics\n/plan\n/findings\n/report\n/endpoints/NAMESPACE/POD\n";

pub(crate) fn answer(admin: &Admin, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is answered here\n".to_owned());
    }
    let status = admin.status();
    match path {
        "/" => response(StatusCode::OK, TEXT, PATHS.to_owned()),
        // Of kube-proxy, too: one for load balancers, one for whoever restarts the process.
        "/healthz" if is_leaving(&status) => {
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the Node is about to be removed\n".to_owned())
        }
        "/healthz" | "/livez" if admin.liveness().is_good() => {
            response(StatusCode::OK, TEXT, "ok\n".to_owned())
        }
        "/healthz" | "/livez" => {
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the rules could not be kept right\n".to_owned())
        }
        "/readyz" if status.is_ready() => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "no plan in force yet\n".to_owned()),
        "/metrics" => response(StatusCode::OK, OPEN_METRICS, admin.metrics_text()),
        "/plan" => match &status.plan {
            Some(Plan::Node(plan)) => json(plan.as_ref()),
            Some(Plan::Cluster(plan)) => json(plan.as_ref()),
            Some(Plan::Names(plan)) => json(plan.as_ref()),
            None => response(StatusCode::NOT_FOUND, TEXT, "no plan in force yet\n".to_owned()),
        },
        "/findings" => json(&status.findings),
        path if path.starts_with(ENDPOINTS) => endpoint(admin, &path[ENDPOINTS.len()..]),
        "/report" => json(&serde_json::json!({ "revision": status.revision, "report": status.report })),
        _ => response(StatusCode::NOT_FOUND, TEXT, format!("not here; there is:\n{PATHS}")),
    }
}

fn is_leaving(status: &Status) -> bool {
    matches!(&status.plan, Some(Plan::Node(plan)) if plan.lb.leaving)
}

/// Whether a Pod is an endpoint of a Service, and not terminating, as far as the plan in force knows.
fn endpoint(admin: &Admin, pod: &str) -> Response<Full<Bytes>> {
    let Some((namespace, name)) = pod.split_once('/') else {
        return response(StatusCode::BAD_REQUEST, TEXT, "a Pod is NAMESPACE/NAME\n".to_owned());
    };
    if admin.endpoints.load()(&PodName::new(namespace, name)) {
        response(StatusCode::OK, TEXT, "an endpoint\n".to_owned())
    } else {
        response(StatusCode::NOT_FOUND, TEXT, "no endpoint, or terminating\n".to_owned())
    }
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => response(StatusCode::OK, JSON, text + "\n"),
        Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stage, Status};
    use plan::{ClusterPlan, Failure, Report};
    use std::sync::Arc;
    use std::time::Duration;

    fn check(admin: &Admin, path: &str) -> (u16, String) {
        use http_body_util::BodyExt;
        let response = answer(admin, &Method::GET, path);
        let status = response.status().as_u16();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let body = runtime.block_on(response.into_body().collect()).expect("body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    fn mk_status() -> Status {
        let failure = Failure { what: "route 192.0.2.0/24".into(), why: "no such link".into() };
        Status {
            revision: 7,
            plan: Some(Plan::Cluster(Arc::new(ClusterPlan::default()))),
            report: Report { written: 3, failures: vec![failure] },
            ..Status::default()
        }
    }

    #[test]
    fn ready_comes_with_the_first_plan() {
        let admin = Admin::new();
        assert_eq!(check(&admin, "/healthz").0, 200);
        assert_eq!(check(&admin, "/livez").0, 200);
        assert_eq!(check(&admin, "/readyz").0, 503);
        assert_eq!(check(&admin, "/plan").0, 404);
        admin.publish(mk_status());
        assert_eq!(check(&admin, "/readyz").0, 200);
        let (status, plan) = check(&admin, "/plan");
        assert_eq!(status, 200);
        assert!(plan.contains("\"statuses\": []"), "{plan}");
    }

    #[test]
    fn load_balancers_are_told_of_a_node_that_is_about_to_go() {
        let admin = Admin::new();
        let plan = plan::NodePlan {
            node: "node-a".into(),
            podnet: Default::default(),
            services: plan::ServiceTable::default(),
            policy: Default::default(),
            dns: plan::DnsPlan::default(),
            gateway: Default::default(),
            lb: plan::LbPlan { leaving: true, ..plan::LbPlan::default() }.into(),
        };
        admin.publish(Status { plan: Some(Plan::Node(Arc::new(plan))), ..Status::default() });
        assert_eq!(check(&admin, "/healthz").0, 503);
        assert_eq!(check(&admin, "/livez").0, 200, "the process is well");
    }

    #[test]
    fn failures_are_shown_with_their_reason() {
        let admin = Admin::new();
        admin.publish(mk_status());
        let (_, report) = check(&admin, "/report");
        assert!(report.contains("no such link") && report.contains("\"revision\": 7"), "{report}");
        admin.metrics().observe(Stage::Nft, Duration::from_millis(3), &mk_status().report);
        admin.show_metrics(Box::new(|| "coredns_forward_healthcheck_broken_total 7\n".to_owned()));
        let (_, metrics) = check(&admin, "/metrics");
        assert!(metrics.ends_with("coredns_forward_healthcheck_broken_total 7\n# EOF\n"), "{metrics}");
        assert_eq!(metrics.matches("# EOF").count(), 1);
        assert!(metrics.contains("sealane_failures{stage=\"nft\"} 1"), "{metrics}");
        assert!(metrics.contains("sealane_writes_total{stage=\"nft\"} 3"), "{metrics}");
        assert!(metrics.contains("sealane_plan_revision 7"), "{metrics}");
    }

    #[test]
    fn an_endpoint_is_one_until_a_plan_without_it_is_in_force() {
        let admin = Admin::new();
        admin.show_endpoints(Box::new(|pod| *pod == PodName::new("shop", "web-1")));
        assert_eq!(check(&admin, "/endpoints/shop/web-1").0, 200);
        assert_eq!(check(&admin, "/endpoints/shop/web-2").0, 404);
        assert_eq!(check(&admin, "/endpoints/web").0, 400);
        admin.show_endpoints(Box::new(|_| false));
        assert_eq!(check(&admin, "/endpoints/shop/web-1").0, 404);
    }

    #[test]
    fn only_reading_is_answered() {
        let admin = Admin::new();
        assert_eq!(answer(&admin, &Method::POST, "/plan").status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(check(&admin, "/secrets").0, 404);
    }
}
