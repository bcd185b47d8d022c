create table messaging_messages (
  message_id text primary key not null,
  from_uri text not null,
  to_uri text not null,
  content_type text not null,
  size integer not null,
  sent_at integer not null,
  ended_at integer not null,
  outcome text not null
);
create index messaging_messages_to on messaging_messages (to_uri, sent_at);
create index messaging_messages_from on messaging_messages (from_uri, sent_at);
create view v_messages as
  select message_id, from_uri, to_uri, content_type, size, sent_at, ended_at, outcome
  from messaging_messages;
