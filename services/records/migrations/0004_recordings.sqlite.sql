alter table records_calls add column recordings text not null default '[]';
drop view v_calls;
create view v_calls as
  select call_id, from_uri, to_uri, from_name, began_at, rang_at, answered_at, ended_at,
    case when answered_at is null then 0 else (ended_at - answered_at) / 1000000 end as talk_seconds,
    outcome, hung_up_by, status, refusal, sip_call_id, guests, quality, recordings
  from records_calls;
