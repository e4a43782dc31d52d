//! Lists, a page at a time. A cursor holds the key of the last item shown, so
//! that items that come or go meanwhile neither repeat nor hide others.

use super::{Error, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

/// How many items a page has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub default: u32,
    pub most: u32,
}

const LIST: Bounds = Bounds { default: 20, most: 100 };

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

impl PageRequest {
    /// How many rows to read: one more than shown tells whether more follow.
    pub(super) fn rows(&self) -> Result<i64> {
        self.rows_within(LIST)
    }

    pub(super) fn rows_within(&self, bounds: Bounds) -> Result<i64> {
        Ok(i64::from(self.limit(bounds)?) + 1)
    }

    /// What [`Self::page`] was given as the key of the last item.
    pub(super) fn key(&self) -> Result<Option<Vec<u8>>> {
        self.cursor.as_deref().map(decode).transpose()
    }

    /// The id before which a list by falling ids goes on.
    pub(super) fn before(&self) -> Result<Uuid> {
        let Some(cursor) = &self.cursor else { return Ok(Uuid::max()) };
        Uuid::from_slice(&decode(cursor)?).map_err(|_| bad_cursor())
    }

    /// The name after which a list by rising names goes on.
    pub(super) fn after(&self) -> Result<String> {
        let Some(cursor) = &self.cursor else { return Ok(String::new()) };
        String::from_utf8(decode(cursor)?).map_err(|_| bad_cursor())
    }

    /// The page made of `rows`, read with [`Self::rows`] as their limit.
    pub(super) fn page<R, T>(
        &self,
        rows: Vec<R>,
        key: impl Fn(&R) -> Vec<u8>,
        item: impl Fn(R) -> Result<T>,
    ) -> Result<Page<T>> {
        self.page_within(LIST, rows, key, item)
    }

    pub(super) fn page_within<R, T>(
        &self,
        bounds: Bounds,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> Vec<u8>,
        item: impl Fn(R) -> Result<T>,
    ) -> Result<Page<T>> {
        let limit = self.limit(bounds)? as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
        Ok(Page { items: rows.into_iter().map(item).collect::<Result<_>>()?, next_cursor })
    }

    fn limit(&self, Bounds { default, most }: Bounds) -> Result<u32> {
        match self.limit {
            None => Ok(default),
            Some(limit) if (1..=most).contains(&limit) => Ok(limit),
            Some(_) => Err(Error::invalid("limit", format!("must be from 1 to {most}"))),
        }
    }
}

fn decode(cursor: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad_cursor())
}

pub(super) fn bad_cursor() -> Error {
    Error::invalid("cursor", "is not one that a list has returned")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(limit: Option<u32>, cursor: Option<&str>) -> PageRequest {
        PageRequest { limit, cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn a_cursor_leads_to_the_rest() {
        let ids = [Uuid::from_bytes([3; 16]), Uuid::from_bytes([2; 16]), Uuid::from_bytes([1; 16])];
        let first = request(Some(2), None);
        let page = first.page(ids.to_vec(), |id| id.as_bytes().to_vec(), Ok).unwrap();
        assert_eq!(page.items, ids[..2]);
        let second = request(Some(2), page.next_cursor.as_deref());
        assert_eq!(second.before().unwrap(), ids[1]);
        assert!(second.page(vec![ids[2]], |id| id.as_bytes().to_vec(), Ok).unwrap().next_cursor.is_none());
    }

    #[test]
    fn bad_limits_and_cursors_are_refused() {
        assert!(request(Some(0), None).rows().is_err() && request(Some(101), None).rows().is_err());
        assert!(request(None, Some("!")).before().is_err());
        assert!(request(None, Some("AAAA")).before().is_err());
    }
}
