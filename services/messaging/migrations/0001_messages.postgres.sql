create table messaging_messages (
  message_id text collate "C" primary key not null,
  from_uri text collate "C" not null,
  to_uri text collate "C" not null,
  content_type text collate "C" not null,
  size bigint not null,
  sent_at bigint not null,
  ended_at bigint not null,
  outcome text collate "C" not null
);
create index messaging_messages_to on messaging_messages (to_uri, sent_at);
create index messaging_messages_from on messaging_messages (from_uri, sent_at);
create view v_messages as
  select message_id, from_uri, to_uri, content_type, size, sent_at, ended_at, outcome
  from messaging_messages;
