//! The contract on `SQLite`.

pub(crate) type Database = crate::database::Sqlite;

#[path = "contract.rs"]
mod contract;

#[tokio::test]
async fn a_folder_that_is_not_there_is_said() {
    let missing = "sqlite:///nonexistent-folder/latchkey.db?mode=rwc";
    let message = control_plane::store::migrate::up(missing).await.unwrap_err().to_string();
    assert!(message.contains("nonexistent-folder"), "{message}");
}
