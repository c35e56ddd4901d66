// Package repository keeps tenants, their messages, users, idempotency keys
// and secrets in PostgreSQL. One Store implements all of domain's
// repositories, one file for each aggregate; errors of the database become
// errors of domain here.
//
//	tenants, users, apikeys, tickets,    what their names say
//	replicas, idempotency, deadletters
//	partitions, partitions_erase         a tenant's partition, made and erased
//	messages_append, _page, _read        the writer's batches, pages, one message
//	streams, changes                     tails of histories; LISTEN and NOTIFY
//	retention, deadletters_expire        what is not kept any longer
//	deliverers, deliveries_claim         who delivers which tenant's messages
//	deliveries_start, _due, _settle      where deliveries go on, what is due, and what
//	                                     became of them
//	attempts, attempts_days              every attempt, in a partition for each day
//	replays, replays_count               ranges that are delivered again
//	store, close, conn_limit             pools, and what a tenant may hold of them
//	tenant_lock                          advisory locks
//	roles, scope                         as whom the service acts, and what an access sees
//	row_security, _tables, _state        who may do what with which table, and making it so
//	errors, migrate                      translation; the schema
//	generation, upgrade                  replicas of earlier versions, and what those left
//
// Every pool has one purpose, so that what one is busy with keeps no other
// waiting: requests, the writer, DDL, locks, streams, heartbeats, looking up
// callers, reading what is to be delivered, and settling it. Only the pool of requests is divided between tenants and their owners.
//
// The Store starts no goroutine that outlives a call, but those of WatchChanges,
// which end with its context.
package repository
