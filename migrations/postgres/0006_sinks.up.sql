-- Sinks: where events go besides the database.

-- In the order in which events were counted, without gaps; null = counted before there
-- were positions. What has a position was committed before what has a higher one.
alter table events add column position bigint;
create unique index events_by_position on events (position);

-- The last position.
insert into event_counters (name, count) values ('position', 0);

create table sinks (
    id uuid primary key,
    name text collate "C" not null constraint sinks_name_unique unique,
    kind text collate "C" not null,
    -- JSON, as the API takes it.
    settings text not null,
    -- Encrypted; null = it has none.
    secret text,
    is_active boolean not null,
    batch_size bigint not null,
    timeout_seconds bigint not null,
    -- Counts up with every change by a person.
    version bigint not null,
    -- Everything up to here was delivered, is a dead letter, or was skipped.
    position bigint not null,
    delivered bigint not null,
    -- Events that were removed for their age before they could be delivered.
    skipped bigint not null,
    -- Since the last success.
    failures bigint not null,
    -- Why the last delivery failed; null = it did not.
    error text,
    failed_at bigint,
    delivered_at bigint,
    -- The process that delivers; null = none.
    holder uuid,
    -- Counts up while the holder lives.
    beat bigint not null,
    created_at bigint not null,
    updated_at bigint not null
);

-- Events that a sink would never take.
create table dead_letters (
    id uuid primary key,
    sink_id uuid not null references sinks (id) on delete cascade,
    event_id uuid not null,
    reason text not null,
    created_at bigint not null,
    constraint dead_letters_event_id_unique unique (sink_id, event_id)
);

create index dead_letters_by_event on dead_letters (event_id);
