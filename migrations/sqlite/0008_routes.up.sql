-- Routes: where a project's requests for a model go.

create table routes (
    id blob primary key,
    project_id blob not null references projects (id),
    name text not null,
    -- In this order they are judged: 1 is the first, and none is left out.
    position bigint not null,
    -- A route as the edge needs it, JSON.
    definition text not null,
    created_at bigint not null,
    updated_at bigint not null,
    constraint routes_name_unique unique (project_id, name)
);

create index routes_by_position on routes (project_id, position);

-- Which providers a route names.
create table route_providers (
    route_id blob not null references routes (id) on delete cascade,
    provider text not null references providers (name),
    primary key (route_id, provider)
);

create index route_providers_by_provider on route_providers (provider);
