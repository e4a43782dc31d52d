-- Sinks, how far they are, and their dead letters are lost.
drop table dead_letters;
drop table sinks;
delete from event_counters where name = 'position';
drop index events_by_position;
alter table events drop column position;
