package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

const retryAfter = 2 * time.Second

// translate turns an error of the driver into one for callers: ErrUnavailable
// when trying again makes sense. Errors of domain pass as they are, anything
// else stays an internal error. Verb says what was being done.
func translate(err error, verb string) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*domain.Error](err); known {
		return err
	}
	err = fmt.Errorf("%s: %w", verb, err)
	switch postgres.Classify(err) {
	case postgres.ClassUnavailable:
		return unavailable(err)
	case postgres.ClassContended:
		return domain.Wrap(err, domain.ErrUnavailable, "database_locked",
			"Others have locked what this call needs, or it took too long; try again shortly.").After(retryAfter)
	case postgres.ClassNone, postgres.ClassData, postgres.ClassOther:
	}
	return err
}

func unavailable(cause error) error {
	return domain.Wrap(cause, domain.ErrUnavailable, "database_unavailable", "The database cannot be reached; try again shortly.").After(retryAfter)
}

// translateAppend tells the writer of messages how to go on. What speaks
// against the rows is judged by class, because a wrong ErrRejected would make
// dead letters of messages: everything that is not clearly about the rows is ErrUnavailable.
func translateAppend(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*domain.Error](err); known {
		return err
	}
	if ctx.Err() != nil {
		// Cancelled statements look like statement timeouts.
		return appendUnavailable(err)
	}
	if table, ok := postgres.NoPartition(err); ok && isMessagesTable(table) {
		return domain.Wrap(err, domain.ErrPartitionMissing, "partition_missing", "A tenant has no partition.")
	}
	if constraint, ok := postgres.UniqueViolation(err); ok && isMessagesTable(constraint) && isSeqConstraint(constraint) {
		// The stream row is behind the partition. CreatePartition repairs it.
		return domain.Wrap(err, domain.ErrPartitionMissing, "stream_behind", "A tenant's stream is behind its partition.")
	}
	switch postgres.Classify(err) {
	case postgres.ClassContended:
		return contended(err)
	case postgres.ClassData:
		return domain.Wrap(err, domain.ErrRejected, "rejected", "The store refuses a message.")
	case postgres.ClassOther:
		return domain.Wrap(err, domain.ErrRejected, "store_fault", "The service cannot store a message, which is a fault of its own.").
			Because(domain.ErrStoreFault)
	case postgres.ClassNone, postgres.ClassUnavailable:
	}
	return appendUnavailable(err)
}

// appendUnavailable returns an ErrStoreRefuses when the server may have refused
// the rows of one tenant only.
func appendUnavailable(cause error) error {
	if postgres.IsLocal(cause) {
		return domain.Wrap(cause, domain.ErrUnavailable, "append_refused", "The database takes nothing, or not from every tenant; append again.").
			After(retryAfter).Because(domain.ErrStoreRefuses)
	}
	return domain.Wrap(cause, domain.ErrUnavailable, "append_unavailable", "The database cannot be reached; append again.").After(retryAfter)
}

func contended(cause error) error {
	return domain.Wrap(cause, domain.ErrContended, "contended", "Other transactions stand in the way.").After(retryAfter)
}

// isSeqConstraint reports whether a constraint of messages or of a partition is
// the one that makes seq unique.
func isSeqConstraint(name string) bool { return strings.HasSuffix(name, "_seq_tenant_id_key") }

func isMessagesTable(name string) bool {
	return name == "messages" || strings.HasPrefix(name, "messages_")
}

// translateSettle tells the settler how to go on: ErrRejected is for what is
// clearly about one of the settlements, and ErrContended for what others hold.
func translateSettle(ctx context.Context, err error) error {
	if _, known := errors.AsType[*domain.Error](err); known {
		return err
	}
	if ctx.Err() != nil {
		// Cancelled statements look like statement timeouts.
		return unavailable(err)
	}
	switch postgres.Classify(err) {
	case postgres.ClassContended:
		return contended(err)
	case postgres.ClassData:
		return domain.Wrap(err, domain.ErrRejected, "settlement_rejected", "The store refuses what became of a delivery.")
	case postgres.ClassOther:
		return domain.Wrap(err, domain.ErrRejected, "settlement_fault", "The service cannot store what became of a delivery, which is a fault of its own.").
			Because(domain.ErrStoreFault)
	case postgres.ClassNone, postgres.ClassUnavailable:
	}
	return unavailable(err)
}
