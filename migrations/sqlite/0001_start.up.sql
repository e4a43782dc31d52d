-- Ids are UUIDv7 (16 bytes); times are Unix milliseconds; JSON is text.

create table providers (
    name text primary key,
    -- A provider as the edge needs it, JSON.
    definition text not null,
    is_built_in boolean not null,
    created_at bigint not null,
    updated_at bigint not null
);

create table projects (
    id blob primary key,
    -- What token records in the snapshot name a project by: small, never reused.
    number bigint not null constraint projects_number_unique unique,
    name text not null constraint projects_name_unique unique,
    default_provider text not null references providers (name),
    is_active boolean not null,
    -- Tokens issued earlier are revoked; 0 = none.
    tokens_valid_from bigint not null default 0,
    on_stale text not null constraint projects_on_stale_known check (on_stale in ('serve', 'deny')),
    -- Seconds.
    max_snapshot_age bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    deactivated_at bigint
);

create table credentials (
    id blob primary key,
    project_id blob not null references projects (id),
    provider text not null references providers (name),
    label text not null,
    -- The last 4 characters of the key.
    hint text not null,
    weight bigint not null,
    priority bigint not null,
    is_active boolean not null,
    -- The key, sealed with ENCRYPTION_KEY.
    encrypted text not null,
    -- The key, sealed with EDGE_CREDENTIAL_KEY for the edge and the origin below.
    sealed text not null,
    -- Both seals are bound to it; a provider whose origin has changed has its credentials deactivated.
    origin text not null,
    created_at bigint not null,
    updated_at bigint not null
);

create index credentials_by_project on credentials (project_id, id);
create index credentials_by_provider on credentials (provider);

create table tokens (
    id blob primary key,
    project_id blob not null references projects (id),
    name text not null,
    -- SHA-256 of the token's secret.
    secret_hash blob not null,
    -- null = never.
    expires_at bigint,
    revoked_at bigint,
    -- JSON, or null.
    metadata text,
    -- The time in the id: bulk revocation compares it with tokens_valid_from.
    created_at bigint not null
);

create index tokens_by_project on tokens (project_id, id);

-- Who changed what. Written in the transaction of the change, never altered.
create table audit_log (
    id blob primary key,
    at bigint not null,
    actor text not null,
    -- For example token.create.
    action text not null,
    resource_id text not null,
    project_id blob,
    -- The client's address.
    client text,
    request_id text,
    result text not null,
    -- JSON without secrets; null where there is none.
    before text,
    after text
);

create index audit_log_by_project on audit_log (project_id, id);

-- Changes that the edge must learn of, written in the transaction of the change.
-- A row says only what changed; the publisher reads how it is now.
create table outbox (
    seq integer primary key autoincrement,
    -- One of the two, or neither: then providers changed.
    token_id blob,
    project_id blob,
    created_at bigint not null,
    -- The snapshot version that first told it.
    published_version bigint,
    -- The base that includes it; null = only the delta does.
    base_id bigint
);

create index outbox_unpublished on outbox (created_at) where published_version is null;

-- The immutable objects of the snapshot, compiled from the whole database and uploaded.
create table snapshot_bases (
    id integer primary key autoincrement,
    -- settling: uploaded too recently to be named; current: named by the manifest.
    state text not null constraint snapshot_bases_state_known check (state in ('settling', 'current')),
    -- The index of its objects, JSON.
    content text not null,
    uploaded_at bigint not null
);

-- One row: the last publication.
create table snapshot_publication (
    id integer primary key constraint snapshot_publication_single check (id = 1),
    version bigint not null,
    published_at bigint not null,
    size_bytes bigint not null,
    tokens bigint not null
);
