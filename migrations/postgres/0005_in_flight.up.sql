-- Requests of an isolate that were under way when it made its highest-numbered event: if
-- nothing more comes, they are lost.
alter table event_isolates add column in_flight bigint not null default 0;

create index event_isolates_with_in_flight on event_isolates (isolate_id) where in_flight > 0;
