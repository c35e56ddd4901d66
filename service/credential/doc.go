// Package credential makes, rotates and revokes the AMQP credentials of tenants: for
// each tenant that asks for it one user of the broker, who may write to the tenant's own
// exchange and nothing else.
//
// The record in the database comes before the user, and goes after it:
//
//	(none) --Issue--> making --user made--> ready --Revoke--> revoking --user deleted--> (none)
//	                     |                    ^  |                ^
//	                     |                    +--+ Issue again    |
//	                     +--- not finished in time, tenant gone --+
//
// So a crash between any two steps leaves a record, and Run, of which every replica has
// one, ends what it finds unfinished. Deleting a tenant revokes at once (RevokeOf) and
// does not wait for a broker that cannot be asked: Run goes on with that.
//
// All of it is done under the tenant's advisory lock, in which a deletion is, too. The
// Service has no goroutine but that of Run's caller.
package credential
