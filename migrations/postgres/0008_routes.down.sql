-- Routes are lost: requests go to the provider that their path names, with the model
-- that they name, as far as policies let them.
drop table route_providers;
drop table routes;

-- The version before this one publishes another format: nothing that was compiled or
-- told before counts, so that its next publication tells everything anew.
delete from snapshot_bases;
delete from outbox;
insert into outbox (token_id, created_at) select id, created_at from tokens order by id;
insert into outbox (project_id, created_at) select id, created_at from projects order by number;
-- One row for all providers, if there are any.
insert into outbox (created_at) select min(created_at) from providers having count(*) > 0;
