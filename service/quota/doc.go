// Package quota knows what owners may have, and what they have. An owner is a user
// that has created tenants. The limits are those of the configuration, unless others
// are set for the user, and none for admins; they are enforced where what they limit
// is made: tenants and workers in the transaction that stores them, endpoints in the
// one that inserts them, backlog and streams by each replica.
//
// Usage is counted from the history, at most a minute later: storing a message costs
// nothing more for it. What is counted outlives the messages and the tenant.
package quota
