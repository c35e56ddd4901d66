// Package rendezvous says which member of a set something belongs to, by rendezvous
// hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit
// Rates"): the member whose name, mixed with the id, gives the highest number. All
// who know the same names come to the same result, and when a member comes or goes,
// only what is its own moves.
package rendezvous
