-- Bodies of requests and answers, kept with the events of projects that want it.

-- JSON; null = off.
alter table projects add column capture text;

-- Apart from the events: most have none, and no list reads them unless asked to.
create table event_bodies (
    event_id blob primary key references events (id) on delete cascade,
    -- As text, redacted; null = not captured.
    request text,
    -- Only its beginning is there.
    request_is_cut boolean not null,
    response text,
    response_is_cut boolean not null
);

-- The snapshot's format changes with this version: nothing that was compiled or
-- told before counts, so that the next publication tells everything anew.
delete from snapshot_bases;
delete from outbox;
insert into outbox (token_id, created_at) select id, created_at from tokens order by id;
insert into outbox (project_id, created_at) select id, created_at from projects order by number;
-- One row for all providers, if there are any.
insert into outbox (created_at) select min(created_at) from providers having count(*) > 0;
