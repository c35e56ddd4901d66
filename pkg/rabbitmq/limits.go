package rabbitmq

import (
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// minChannels is how many channels a connection needs at least: with fewer
// nothing of what is done side by side gets on.
const minChannels = 4

// errFewChannels: the broker, or the URL, allows a connection too few.
var errFewChannels = errors.New("too few channels are allowed on a connection")

// Limits are what both sides of a connection agreed on; see "tune" in the
// specification of AMQP 0-9-1.
type Limits struct {
	// Channels is how many channels the connection may have open.
	Channels int
	// FrameSize is the largest frame in bytes, which all properties of a
	// message have to fit into.
	FrameSize int
	// Heartbeat is the longest silence.
	Heartbeat time.Duration
}

// check returns an error for limits under which nothing works.
func (l Limits) check() error {
	if l.Channels < minChannels {
		return fmt.Errorf("%w: %d, at least %d are needed (channel_max)", errFewChannels, l.Channels, minChannels)
	}
	return nil
}

// IsChannelMax reports whether a connection has as many channels as it may, in
// which case nothing was sent and the connection goes on.
func IsChannelMax(err error) bool { return errors.Is(err, amqp.ErrChannelMax) }

// IsNotAllowed reports whether err is the broker's answer NOT_ALLOWED, with
// which it ends or refuses a connection: for a limit of the virtual host or
// the user, or because there is no such virtual host for that user.
func IsNotAllowed(err error) bool { return hasCode(err, amqp.NotAllowed) }

// IsResourceError reports whether err is the broker's answer that it lacks
// resources.
func IsResourceError(err error) bool { return hasCode(err, amqp.ResourceError) }

// IsDenied reports whether err is the broker's answer that this user may not
// do it, or that something belongs to another connection alone.
func IsDenied(err error) bool {
	return hasCode(err, amqp.AccessRefused) || hasCode(err, amqp.ResourceLocked)
}

// IsInternalError reports whether err is the broker's answer that it failed,
// with which it ends the whole connection. What was asked for may have
// happened or not.
func IsInternalError(err error) bool { return hasCode(err, amqp.InternalError) }

// Reason returns the broker's own words in err, and "" where it said nothing:
// other errors may have another text each time.
func Reason(err error) string {
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		return e.Error()
	}
	return ""
}

// refused reports whether the broker was there, and refused the connection.
func refused(err error) bool { return IsNotAllowed(err) || IsResourceError(err) || IsDenied(err) }

// ErrLimitReached marks the broker's answer that it allows no more of something.
// AMQP has one code for several reasons, so only the caller can tell what it
// means: NOT_ALLOWED is a limit where a connection or a channel was opened on a
// broker that is there otherwise, PRECONDITION_FAILED where a queue was declared
// that does not exist.
var ErrLimitReached = errors.New("the broker allows no more")

// LimitReached marks the broker's answer as one about a limit. The error has the
// answer's text and is both.
func LimitReached(answer error) error { return fmt.Errorf("%w: %w", ErrLimitReached, answer) }
