//! Who changed what: written in the transaction of the change.

use super::page::{Page, PageRequest};
use super::{Act, Domain, Result};
use crate::chance;
use crate::store::{Connection, audit as table};
use serde_json::Value;
use shared::id::{self, UnixMs};
use uuid::Uuid;

/// What was done to which resource. `before` and `after` are made field by
/// field, so that no secret gets into them by the way.
#[derive(Debug)]
pub(super) struct Change {
    pub action: &'static str,
    pub resource_id: String,
    pub project_id: Option<Uuid>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// One audit record.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: Uuid,
    pub at: UnixMs,
    pub actor: String,
    pub action: String,
    pub resource_id: String,
    pub project_id: Option<Uuid>,
    pub client: Option<String>,
    pub request_id: Option<String>,
    pub result: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub project_id: Option<Uuid>,
    pub action: Option<String>,
}

pub(super) async fn record(conn: &mut Connection, act: &Act, change: Change) -> Result<()> {
    let row = table::AuditRow {
        id: id::new(act.at, &chance::bytes()?),
        at: act.at.cast_signed(),
        actor: act.actor.clone(),
        action: change.action.to_owned(),
        resource_id: change.resource_id,
        project_id: change.project_id,
        client: act.client.map(|client| client.to_string()),
        request_id: act.request_id.map(|id| id.to_string()),
        // A record stands in the transaction of its change: a change that failed left neither.
        result: "success".to_owned(),
        before: change.before.map(|value| value.to_string()),
        after: change.after.map(|value| value.to_string()),
    };
    Ok(table::insert(conn, &row).await?)
}

impl Domain {
    pub async fn list_audit(&self, filter: &Filter, page: &PageRequest) -> Result<Page<Record>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let action = filter.action.as_deref().unwrap_or_default();
        let mut tx = self.store.read().await?;
        let rows = table::list(&mut tx, filter.project_id, action, before, rows).await?;
        page.page(rows, |row| row.id.as_bytes().to_vec(), Record::try_from)
    }
}

impl TryFrom<table::AuditRow> for Record {
    type Error = super::Error;

    fn try_from(row: table::AuditRow) -> Result<Self> {
        let parse = |text: Option<String>| text.map(|text| serde_json::from_str(&text)).transpose();
        Ok(Self {
            id: row.id,
            at: row.at.cast_unsigned(),
            actor: row.actor,
            action: row.action,
            resource_id: row.resource_id,
            project_id: row.project_id,
            client: row.client,
            request_id: row.request_id,
            result: row.result,
            before: parse(row.before)?,
            after: parse(row.after)?,
        })
    }
}
