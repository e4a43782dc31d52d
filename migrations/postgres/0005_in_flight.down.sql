-- How many requests were under way is lost.
drop index event_isolates_with_in_flight;
alter table event_isolates drop column in_flight;
