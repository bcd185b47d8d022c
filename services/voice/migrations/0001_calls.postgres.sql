create table voice_calls (
  sid text collate "C" primary key not null,
  parent_sid text collate "C" not null,
  from_text text collate "C" not null,
  to_text text collate "C" not null,
  status text collate "C" not null,
  direction text collate "C" not null,
  began_at bigint not null,
  start_at bigint not null,
  ended_at bigint not null,
  body text collate "C" not null,
  gone bigint not null
);
create index voice_calls_began on voice_calls (began_at, sid);
create view v_program_calls as
  select sid, parent_sid, from_text, to_text, status, direction, began_at, start_at, ended_at, body
  from voice_calls where gone = 0;
create table voice_things (
  kind text collate "C" not null,
  sid text collate "C" not null,
  owner text collate "C" not null,
  name text collate "C" not null,
  body text collate "C" not null,
  made_at bigint not null,
  updated_at bigint not null,
  primary key (kind, sid)
);
create index voice_things_made on voice_things (kind, made_at, sid);
create index voice_things_owner on voice_things (kind, owner);
