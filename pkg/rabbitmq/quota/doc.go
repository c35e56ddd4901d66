// Package quota hands out channels within what the broker allows.
//
// A broker may allow a user only so many channels (max-channels; see RabbitMQ's
// documentation on per-user limits). It does not say how many, and answers one
// channel too many by ending the connection on which it was asked for, with
// everybody on it (seen with 3.10.8 and 4.0.5). So whether there is room is
// tried out on a connection of its own before it is used up on one that others
// use.
//
// A Quota counts the channels that are open; a Slot is the place of one of them.
// What is known of the limit decides what a call for a slot does:
//
//	below what was tried:  the slot is there at once
//	above it:              one trial opens half as many channels again, on
//	                       connections that end with it; everybody waits for it
//	limit met, for 20 s:   a lasting channel is refused (rabbitmq.ErrLimitReached)
//	                       when the others of its kind have all that is for them;
//	                       else it waits, as a passing one does, until a slot is
//	                       released
//
// Lasting channels, those of consumers, leave some for the passing ones: for
// topology, publishing, trials of queues and dead letters.
//
// A Quota has no goroutine of its own: trials run on that of the caller who
// first needs one, one at a time, and while a trial runs nobody else opens a
// channel.
package quota
