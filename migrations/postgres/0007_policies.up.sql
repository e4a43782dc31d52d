-- Policies: what a project and its tokens may do. A provider's is in its definition.

-- JSON; null = everything that the provider allows.
alter table projects add column policy text;

-- What tokens have of their own: one row for each policy that a project's tokens ever
-- had, however many share it.
create table profiles (
    id uuid primary key,
    project_id uuid not null references projects (id),
    -- What token records in the snapshot name it by: small, counts up, never reused.
    number bigint not null,
    -- JSON.
    policy text not null,
    -- SHA-256 of the policy: an index takes no text of any length.
    hash bytea not null,
    -- Until when a token may need it, or later; 9223372036854775807 = one never expires.
    used_until bigint not null,
    created_at bigint not null,
    constraint profiles_number_unique unique (project_id, number),
    constraint profiles_hash_unique unique (project_id, hash)
);

create index profiles_in_use on profiles (project_id, used_until);

-- null = the token has no policy of its own.
alter table tokens add column profile_id uuid references profiles (id);
create index tokens_by_profile on tokens (profile_id, expires_at) where profile_id is not null;
