create table groups_groups (
  name text primary key not null,
  kind text not null,
  display_name text not null,
  number text not null,
  body text not null,
  created_at bigint not null,
  updated_at bigint not null
);
create view v_groups as
  select name, kind, display_name, number, created_at, updated_at from groups_groups;
