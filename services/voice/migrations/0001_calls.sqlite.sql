create table voice_calls (
  sid text primary key not null,
  parent_sid text not null,
  from_text text not null,
  to_text text not null,
  status text not null,
  direction text not null,
  began_at integer not null,
  start_at integer not null,
  ended_at integer not null,
  body text not null,
  gone integer not null
);
create index voice_calls_began on voice_calls (began_at, sid);
create view v_program_calls as
  select sid, parent_sid, from_text, to_text, status, direction, began_at, start_at, ended_at, body
  from voice_calls where gone = 0;
create table voice_things (
  kind text not null,
  sid text not null,
  owner text not null,
  name text not null,
  body text not null,
  made_at integer not null,
  updated_at integer not null,
  primary key (kind, sid)
);
create index voice_things_made on voice_things (kind, made_at, sid);
create index voice_things_owner on voice_things (kind, owner);
