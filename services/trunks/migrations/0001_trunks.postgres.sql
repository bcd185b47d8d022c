create table trunks_facts (
  kind text collate "C" not null,
  name text collate "C" not null,
  body text collate "C" not null,
  sealed bytea not null,
  updated_at bigint not null,
  primary key (kind, name)
);
create view v_trunks as select name, body, updated_at from trunks_facts where kind = 'trunk';
create view v_numbers as select name as number, body, updated_at from trunks_facts where kind = 'number';
create view v_routes as select name, body, updated_at from trunks_facts where kind = 'route';
