alter table people_users add column calls text collate "C";
