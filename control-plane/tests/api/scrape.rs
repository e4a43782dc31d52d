//! What `/metrics` answered, as a scraper reads it.

use crate::database::Database;
use crate::world::{World, request};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use tower::ServiceExt;

pub(crate) struct Scrape {
    pub(crate) text: String,
}

impl Scrape {
    /// Without a token.
    pub(crate) async fn of<D: Database>(world: &World<D>) -> Self {
        let mut call = request(Method::GET, "/metrics", None);
        call.headers_mut().remove("authorization");
        Self::with(world, call).await
    }

    pub(crate) async fn with<D: Database>(world: &World<D>, call: Request<Body>) -> Self {
        let response = world.router.clone().oneshot(call).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4")
        );
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Self { text: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// Of the one sample of this name that has these labels, maybe among others.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let is_meant = |sample: &str| {
            let rest = sample.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'));
            rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label.as_str())))
        };
        let mut found = self.samples().filter(|(sample, _)| is_meant(sample));
        let value = found.next()?.1.parse().unwrap();
        assert!(found.next().is_none(), "more than one {name} {labels:?}");
        Some(value)
    }

    fn samples(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap())
    }
}
