-- One event for each request: received, kept, added up.

-- Batches of events as they came, until every consumer is done with them. One row
-- a batch, so that taking one in costs one insert.
create table event_log (
    position integer primary key autoincrement,
    received_at bigint not null,
    -- JSON lines.
    lines blob not null
);

-- Who reads the log.
create table event_consumers (
    name text primary key
);

insert into event_consumers (name) values ('database');

-- A batch that a consumer is not done with; written with the batch. So no consumer
-- asks for what is "after" a position: on PostgreSQL positions become visible out of order.
create table event_deliveries (
    consumer text not null references event_consumers (name),
    position bigint not null,
    -- Until then it is in the hands of one instance; 0 = of none.
    taken_until bigint not null,
    -- How often it was taken.
    attempts bigint not null,
    primary key (consumer, position)
) without rowid;

-- One row an event, as long as EVENT_RETENTION_DAYS says.
create table events (
    id blob primary key,
    isolate_id blob not null,
    seq bigint not null,
    -- How many requests it stands for.
    requests bigint not null,
    started_at bigint not null,
    first_byte_at bigint,
    ended_at bigint not null,
    -- null = it was not known whose the request is.
    project_id blob,
    token_id blob,
    provider text,
    method text not null,
    endpoint text not null,
    model_requested text,
    model text,
    status bigint not null,
    error_code text,
    -- JSON.
    attempts text not null,
    bytes_in bigint not null,
    bytes_out bigint not null,
    -- null = not known.
    input_tokens bigint,
    output_tokens bigint,
    cached_input_tokens bigint,
    reasoning_tokens bigint,
    usage_source text not null,
    completion text not null,
    snapshot_version bigint,
    -- Where the client was, roughly; null once it was erased.
    colo text,
    country text,
    -- Nano-dollars; null = the price is not known.
    cost bigint
) without rowid;

create index events_by_project on events (project_id, id);
create index events_by_token on events (token_id, id);

-- Every event that was counted, 30 days longer than the event itself is kept: it counts once.
create table event_ledger (
    id blob primary key,
    -- Days since 1970 when it was counted.
    day bigint not null
) without rowid;

create index event_ledger_by_day on event_ledger (day);

-- Sums of events, kept for good. What is not known is the id of zeros, or an empty text.
create table usage_hourly (
    -- Hours since 1970, of the request's beginning.
    hour bigint not null,
    project_id blob not null,
    token_id blob not null,
    provider text not null,
    model text not null,
    status bigint not null,
    completion text not null,
    requests bigint not null,
    bytes_in bigint not null,
    bytes_out bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_input_tokens bigint not null,
    reasoning_tokens bigint not null,
    -- Nano-dollars, of the requests whose cost is known.
    cost bigint not null,
    -- Requests whose cost is not known.
    unpriced bigint not null,
    -- Requests whose tokens were estimated.
    estimated bigint not null,
    primary key (hour, project_id, token_id, provider, model, status, completion)
) without rowid;

-- The same by day: a month of many tokens is read from here.
create table usage_daily (
    -- Days since 1970.
    day bigint not null,
    project_id blob not null,
    token_id blob not null,
    provider text not null,
    model text not null,
    status bigint not null,
    completion text not null,
    requests bigint not null,
    bytes_in bigint not null,
    bytes_out bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_input_tokens bigint not null,
    reasoning_tokens bigint not null,
    -- Nano-dollars, of the requests whose cost is known.
    cost bigint not null,
    -- Requests whose cost is not known.
    unpriced bigint not null,
    -- Requests whose tokens were estimated.
    estimated bigint not null,
    primary key (day, project_id, token_id, provider, model, status, completion)
) without rowid;

-- What came of each isolate: it numbers its events from 1, so what is missing is seen.
create table event_isolates (
    isolate_id blob primary key,
    first_received_at bigint not null,
    last_received_at bigint not null,
    max_seq bigint not null,
    received bigint not null
) without rowid;

create index event_isolates_with_gap on event_isolates (isolate_id) where max_seq > received;

-- Lines that are no events; the newest are kept.
create table events_set_aside (
    id blob primary key,
    -- SHA-256 of the line: however often it comes, it is here once.
    digest blob not null constraint events_set_aside_digest_unique unique,
    received_at bigint not null,
    reason text not null,
    -- Its beginning.
    line text not null
);

-- How often something happened: `duplicates`, `set_aside`.
create table event_counters (
    name text primary key,
    count bigint not null
);

insert into event_counters (name, count) values ('duplicates', 0), ('set_aside', 0);

-- Nano-dollars per million tokens. A price holds from its time until the next one
-- for the same models; none is changed once it holds.
create table prices (
    id blob primary key,
    provider text not null,
    -- A pattern: * stands for any characters.
    model text not null,
    valid_from bigint not null,
    input bigint not null,
    -- null = as the other input.
    cached_input bigint,
    output bigint not null,
    -- Where it is from.
    source text not null,
    created_at bigint not null,
    constraint prices_valid_from_unique unique (provider, model, valid_from)
);

-- What the API says of a token's use.
create table token_usage (
    token_id blob primary key,
    request_count bigint not null,
    last_used_at bigint not null,
    -- What is known of a person from events that began earlier is erased; 0 = none.
    erased_before bigint not null default 0
) without rowid;

alter table projects add column stream_usage text not null default 'ask'
    constraint projects_stream_usage_known check (stream_usage in ('ask', 'ask_and_strip', 'leave'));

-- The snapshot's format changes with this version: nothing that was compiled or
-- told before counts, so that the next publication tells everything anew.
delete from snapshot_bases;
delete from outbox;
insert into outbox (token_id, created_at) select id, created_at from tokens order by id;
insert into outbox (project_id, created_at) select id, created_at from projects order by number;
-- One row for all providers, if there are any.
insert into outbox (created_at) select min(created_at) from providers having count(*) > 0;
