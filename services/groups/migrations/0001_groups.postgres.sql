create table groups_groups (
  name text collate "C" primary key not null,
  kind text collate "C" not null,
  display_name text collate "C" not null,
  number text collate "C" not null,
  body text collate "C" not null,
  created_at bigint not null,
  updated_at bigint not null
);
create view v_groups as
  select name, kind, display_name, number, created_at, updated_at from groups_groups;
