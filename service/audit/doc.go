// Package audit reads the audit log, and keeps it as long as is configured. Lines are
// written where changes are made: in the transaction of the change where there is one,
// by whoever domain.ActorOf says does the work.
package audit
