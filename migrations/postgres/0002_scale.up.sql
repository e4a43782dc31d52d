-- What several control planes, and a snapshot of millions of tokens, need.

-- One row, taken by whoever creates a project: numbers stay unique when two
-- create at once, and are not given again. It also goes before any change of a
-- project's name, so that two changes never wait for each other's name.
create table project_numbers (
    id bigint primary key constraint project_numbers_single check (id = 1),
    last bigint not null
);

insert into project_numbers (id, last) select 1, coalesce(max(number), 0) from projects;

create index projects_by_default_provider on projects (default_provider);

-- Id of the TOKEN_TAG_KEY that tagged it, in hex; null = before this was kept.
alter table tokens add column tag_key text;

-- One row: which control plane publishes.
create table publisher_lease (
    id bigint primary key constraint publisher_lease_single check (id = 1),
    -- null = none.
    holder uuid,
    -- Counts up while the holder lives.
    beat bigint not null
);

insert into publisher_lease (id, holder, beat) values (1, null, 0);

-- What any control plane may ask of the one that publishes.
create table snapshot_orders (
    kind text primary key,
    -- How often it was asked for, and how many of these are done.
    requested bigint not null,
    done bigint not null,
    -- Why the last failed; null = it did not.
    error text
);

insert into snapshot_orders (kind, requested, done, error) values ('publish', 0, 0, null), ('rebuild', 0, 0, null);

-- Objects in KV that no manifest names any more, and since when.
create table snapshot_unreferenced (
    key text primary key,
    since bigint not null
);

-- The keys of a base's objects, so that one that leaves it is known as unreferenced.
alter table snapshot_bases add column objects text not null default '';

-- The snapshot's format changes with this version: nothing that was compiled or
-- told before counts, so that the next publication tells everything anew.
delete from snapshot_bases;
delete from outbox;
insert into outbox (token_id, created_at) select id, created_at from tokens order by id;
insert into outbox (project_id, created_at) select id, created_at from projects order by number;
-- One row for all providers, if there are any.
insert into outbox (created_at) select min(created_at) from providers having count(*) > 0;
