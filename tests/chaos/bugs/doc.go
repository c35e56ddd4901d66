// Command bugs is the service with a bug planted into it, to see whether the
// checker of the chaos suite notices. CHAOS_BUG names the bug. Without a bug,
// CHAOS_RECORD is where it records when it stores messages, and of which tenants.
package main
