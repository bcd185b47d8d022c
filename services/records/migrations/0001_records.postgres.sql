create table records_calls (
  call_id text collate "C" primary key not null,
  from_uri text collate "C" not null,
  to_uri text collate "C" not null,
  from_name text collate "C" not null,
  began_at bigint not null,
  rang_at bigint,
  answered_at bigint,
  ended_at bigint not null,
  outcome text collate "C" not null,
  hung_up_by text collate "C" not null,
  status bigint not null,
  refusal text collate "C" not null,
  sip_call_id text collate "C" not null
);
create index records_calls_ended on records_calls (ended_at);
create view v_calls as
  select call_id, from_uri, to_uri, from_name, began_at, rang_at, answered_at, ended_at,
    case when answered_at is null then 0 else (ended_at - answered_at) / 1000000 end as talk_seconds,
    outcome, hung_up_by, status, refusal, sip_call_id
  from records_calls;
