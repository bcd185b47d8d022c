create table people_users (
  name text collate "C" primary key not null,
  display_name text collate "C" not null,
  digest text collate "C" not null,
  verifiers text collate "C" not null,
  picture_full text collate "C",
  picture_thumbnail text collate "C",
  picture_type text collate "C",
  picture_tiny bytea,
  created_at bigint not null,
  updated_at bigint not null
);
create table people_devices (
  user_name text collate "C" not null,
  name text collate "C" not null,
  kind text collate "C" not null,
  provider text collate "C" not null,
  prid text collate "C" not null,
  prid_alert text collate "C",
  param text collate "C" not null,
  p256dh bytea,
  auth bytea,
  seen_at bigint not null,
  primary key (user_name, name),
  unique (provider, prid)
);
create view v_users as
  select name, display_name, digest, picture_full, picture_thumbnail, created_at, updated_at
  from people_users;
create view v_devices as
  select user_name, name, kind, provider, param, seen_at from people_devices;
