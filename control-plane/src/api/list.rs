//! Lists: `{"data": [...], "next_cursor": ...}`.

use crate::domain::page::{Page, PageRequest};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Serialize, ToSchema)]
pub(super) struct List<T> {
    data: Vec<T>,
    /// Give it as `cursor` to read on; null at the end.
    next_cursor: Option<String>,
}

impl<T> List<T> {
    pub(super) fn from<D>(page: Page<D>, item: impl FnMut(D) -> T) -> Self {
        Self { data: page.items.into_iter().map(item).collect(), next_cursor: page.next_cursor }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// From 1 to 100; 20 unless given.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl From<Paging> for PageRequest {
    fn from(Paging { limit, cursor }: Paging) -> Self {
        Self { limit, cursor }
    }
}
