use control_plane::store::migrate::{self, Failure};
use tempfile::TempDir;

fn url(folder: &TempDir) -> String {
    format!("sqlite://{}?mode=rwc", folder.path().join("latchkey.db").display())
}

#[tokio::test]
async fn every_migration_goes_up_down_and_up_again() {
    let folder = TempDir::new().unwrap();
    let url = url(&folder);
    assert!(migrate::status(&url).await.unwrap().iter().all(|state| !state.is_applied));
    let all = migrate::up(&url).await.unwrap();
    assert!(!all.is_empty());
    assert!(migrate::up(&url).await.unwrap().is_empty());
    assert!(migrate::status(&url).await.unwrap().iter().all(|state| state.is_applied));
    for version in all.iter().rev() {
        assert_eq!(migrate::down(&url).await.unwrap(), *version);
    }
    assert!(matches!(migrate::down(&url).await, Err(Failure::NothingToUndo)));
    assert_eq!(migrate::up(&url).await.unwrap(), all);
}

#[tokio::test]
async fn those_that_start_together_migrate_once() {
    let folder = TempDir::new().unwrap();
    let url = url(&folder);
    let starts = [(); 8].map(|()| {
        let url = url.clone();
        tokio::spawn(async move { migrate::up(&url).await.unwrap().len() })
    });
    let mut applied = 0;
    for start in starts {
        applied += start.await.unwrap();
    }
    assert_eq!(applied, migrate::status(&url).await.unwrap().len());
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_an_error() {
    let missing = "sqlite:///nonexistent-folder/latchkey.db?mode=rwc";
    assert!(migrate::up(missing).await.unwrap_err().to_string().contains("nonexistent-folder"));
}
