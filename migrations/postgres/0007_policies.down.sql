-- The version before this one would publish tokens and projects without their policies,
-- so that they could do more than they were given for. So this is refused, and changes
-- nothing, while a project, a provider or a valid token has one: take them away first.
create table take_policies_away_first (
    is_gone boolean constraint take_policies_away_first check (is_gone)
);
insert into take_policies_away_first (is_gone)
select false from projects where policy is not null;
insert into take_policies_away_first (is_gone)
select false from providers where definition::jsonb -> 'policy' is not null;
insert into take_policies_away_first (is_gone)
select false from tokens t join projects p on p.id = t.project_id
where t.profile_id is not null and t.revoked_at is null and t.created_at >= p.tokens_valid_from
and (t.expires_at is null or t.expires_at > cast(extract(epoch from now()) * 1000 as bigint));
drop table take_policies_away_first;

-- What has ended stays so: nobody can give such a token, without its policy, more time.
update tokens set revoked_at = expires_at where profile_id is not null and revoked_at is null
and expires_at is not null;

-- Policies of ended tokens are lost.
drop index tokens_by_profile;
alter table tokens drop column profile_id;
drop table profiles;
alter table projects drop column policy;

-- The version before this one publishes another format: nothing that was compiled or
-- told before counts, so that its next publication tells everything anew.
delete from snapshot_bases;
delete from outbox;
insert into outbox (token_id, created_at) select id, created_at from tokens order by id;
insert into outbox (project_id, created_at) select id, created_at from projects order by number;
-- One row for all providers, if there are any.
insert into outbox (created_at) select min(created_at) from providers having count(*) > 0;
