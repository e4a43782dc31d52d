//! A page of tokens, whose columns come as one value each.

use super::World;
use control_plane::store::snapshot::Error;
use control_plane::store::snapshot::contents::{Owners, token_page};
use control_plane::store::sql::query;
use shared::snapshot::record::TokenRecord;
use uuid::Uuid;

const ENDED_BEFORE: u64 = 1_000;

/// Secret hash, expiry, time of revocation.
type Row = ([u8; 32], Option<i64>, Option<i64>);

async fn insert(world: &World, rows: &[Row]) -> Vec<Uuid> {
    let tokens = world.create_tokens(rows.len()).await;
    let mut tx = world.store.write().await.unwrap();
    for (token, (secret_hash, expires_at, revoked_at)) in tokens.iter().zip(rows) {
        query("update tokens set secret_hash = $2, expires_at = $3, revoked_at = $4 where id = $1")
            .bind(*token)
            .bind(secret_hash.as_slice())
            .bind(*expires_at)
            .bind(*revoked_at)
            .execute(&mut tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    tokens
}

/// Page by page.
async fn all(world: &World, limit: u32) -> Result<Vec<TokenRecord>, Error> {
    let mut tx = world.store.read().await.unwrap();
    let owners = Owners::read(&mut tx).await.unwrap();
    let (mut records, mut after) = (Vec::new(), Uuid::nil());
    loop {
        let page = token_page(&mut tx, &owners, after, Uuid::max(), ENDED_BEFORE, limit).await?;
        let Some(last) = page.last else { return Ok(records) };
        assert!(page.records.len() <= usize::try_from(limit).unwrap());
        records.extend(page.records);
        after = last;
    }
}

#[tokio::test]
async fn pages_of_any_size_say_what_the_rows_say() {
    let world = World::new().await;
    assert!(all(&world, 3).await.unwrap().is_empty());
    let mut dotted = [0x2c; 32];
    dotted[7] = 0;
    let rows: [Row; 9] = [
        ([0; 32], None, None),
        ([0x2c; 32], Some(5_000), None),
        ([1; 32], Some(1_000), None),
        (dotted, None, Some(2_000)),
        ([2; 32], None, Some(1_000)),
        ([0xff; 32], Some(5_001), Some(2_001)),
        ([3; 32], Some(1_001), None),
        ([4; 32], None, None),
        ([5; 32], None, None),
    ];
    let tokens = insert(&world, &rows).await;
    let all_rows = tokens.iter().zip(&rows);
    let stays = |at: Option<i64>| at.is_none_or(|at| at > ENDED_BEFORE.cast_signed());
    let expected: Vec<TokenRecord> = all_rows
        .filter(|(_, (_, expires_at, revoked_at))| stays(*expires_at) && stays(*revoked_at))
        .map(|(id, (hash, expires_at, revoked_at))| {
            TokenRecord::new(*id, hash, expires_at.map(i64::cast_unsigned), 1, revoked_at.is_some())
        })
        .collect();
    assert_eq!(expected.len(), 7);
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(all(&world, limit).await.unwrap(), expected, "{limit} a page");
    }
    // Some have a profile.
    for (number, places) in [(12, [1, 6]), (3, [3, 5])] {
        let profile = world.profile(number, "{}", u64::MAX).await;
        for place in places {
            world.limit(tokens[place], profile).await;
        }
    }
    let numbers = [None, Some(12), Some(3), Some(3), Some(12), None, None];
    let expected: Vec<TokenRecord> =
        expected.iter().zip(numbers).map(|(record, number)| record.with_profile(number)).collect();
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(all(&world, limit).await.unwrap(), expected, "{limit} a page");
    }
}

#[tokio::test]
async fn hashes_of_a_wrong_length_do_not_pass_for_others() {
    let world = World::new().await;
    let tokens = world.create_tokens(4).await;
    assert_eq!(all(&world, 10).await.unwrap().len(), 4);
    let mut tx = world.store.write().await.unwrap();
    for (token, length) in [(tokens[1], 31), (tokens[2], 33)] {
        query("update tokens set secret_hash = $2 where id = $1")
            .bind(token)
            .bind(vec![7; length].as_slice())
            .execute(&mut tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    assert!(all(&world, 10).await.unwrap_err().to_string().contains("does not fit together"));
}

/// Nothing but its id says when a token was issued.
#[tokio::test]
async fn a_token_whose_id_has_no_time_stays() {
    let world = World::new().await;
    let token = world.create_token().await;
    let timeless = Uuid::from_u128(0x4444_4444_4444_4444_8444_4444_4444_4444);
    let mut tx = world.store.write().await.unwrap();
    query("update tokens set id = $2 where id = $1")
        .bind(token)
        .bind(timeless)
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let records = all(&world, 10).await.unwrap();
    assert_eq!(records.iter().map(TokenRecord::id).collect::<Vec<_>>(), [timeless]);
}
