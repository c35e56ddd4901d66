// Package cache answers from memory what a source, such as a database, knows:
// fresh for some time, and while the source is away with what was known last.
//
//	           load                  older than FreshFor, or Expire
//	(unknown) ------> fresh ----------------------------------------> due
//	    ^               ^                                               |
//	    |               +------------- load ----------------------------+
//	    +--- Drop, displaced, or loaded as absent                       |
//	                                          source away: last known --+
//
// Many that ask for the same key at once share one load. A load that began before
// an Expire, Put or Drop of its key leaves nothing behind. After a load that
// failed, what is known is used without asking for AwayFor; one call tries then,
// while the others go on with what is known.
//
// Loads run on the goroutine of the first call that needs them, and do not end
// with it.
package cache
