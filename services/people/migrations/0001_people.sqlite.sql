create table people_users (
  name text primary key not null,
  display_name text not null,
  digest text not null,
  verifiers text not null,
  picture_full text,
  picture_thumbnail text,
  picture_type text,
  picture_tiny blob,
  created_at integer not null,
  updated_at integer not null
);
create table people_devices (
  user_name text not null,
  name text not null,
  kind text not null,
  provider text not null,
  prid text not null,
  prid_alert text,
  param text not null,
  p256dh blob,
  auth blob,
  seen_at integer not null,
  primary key (user_name, name),
  unique (provider, prid)
);
create view v_users as
  select name, display_name, digest, picture_full, picture_thumbnail, created_at, updated_at
  from people_users;
create view v_devices as
  select user_name, name, kind, provider, param, seen_at from people_devices;
