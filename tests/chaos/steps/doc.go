// Command steps is the service, except that it stops dead at certain steps of
// creating and deleting certain tenants, for the chaos suite to kill it there.
// CHAOS_STEPS says where, as a JSON object with the steps by the tenants' names;
// see steps. It appends the name of each tenant that arrived to the file
// CHAOS_ARRIVALS.
package main
