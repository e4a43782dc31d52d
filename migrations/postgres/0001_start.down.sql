drop table snapshot_publication;
drop table snapshot_bases;
drop table outbox;
drop table audit_log;
drop table tokens;
drop table credentials;
drop table projects;
drop table providers;
