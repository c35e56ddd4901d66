package repository

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
	"lanekeeper/pkg/shares"
)

const (
	// ownerShare and tenantShare are which part of a pool one owner and one of
	// its tenants may hold: a half, and a quarter.
	ownerShare  = 2
	tenantShare = 4
	// leastShare is how many connections a tenant may hold in any case.
	leastShare = 2
	// reservedShare is which part of the pool is left to what the service does of
	// its own accord.
	reservedShare = 5
	// shareWait is how long a call waits for others, and shareQueue how many
	// calls of a tenant may do so at a time.
	shareWait  = 2 * time.Second
	shareQueue = 1000
	// smallRead is how many bytes are read without a turn, and processorsPerTurn
	// how many processors one large read at a time may keep busy, here and in the
	// database: the others are for what is small.
	smallRead         = domain.SmallAnswer
	processorsPerTurn = 2
	// turnAtMost is how long a large read keeps others from theirs. One that takes
	// longer waits for a lock or a disk, and not for a processor.
	turnAtMost = 100 * time.Millisecond
	// turnRest is how many times as long as a large read took the next one waits after
	// it: for what was read to be written as an answer, which takes a processor of
	// ours, and for all that is small.
	turnRest = 2
)

// newLargeReads returns the turns of large reads. A part of a page keeps a processor
// of the database busy for as long as it is unpacked, and one of ours after
// that; nothing else of what a connection does takes long.
func newLargeReads() *shares.Shares {
	n := int64(max(1, runtime.GOMAXPROCS(0)/processorsPerTurn))
	return shares.New(shares.Options{Total: n, PerOwner: n, PerUser: n, Wait: shareWait, Queue: shareQueue})
}

// newTenantConnLimit returns the shares of a pool with so many connections. They
// keep one tenant, and one owner with many of them, from holding all: when a
// partition is locked, or reads are slow, its calls wait for each other and not
// those of other owners for them.
func newTenantConnLimit(conns int) *shares.Shares {
	return shares.New(shares.Options{
		Total:    int64(max(1, conns-conns/reservedShare)),
		PerOwner: int64(max(leastShare, conns/ownerShare)),
		PerUser:  int64(max(leastShare, conns/tenantShare)),
		Wait:     shareWait, Queue: shareQueue,
	})
}

// awaitReadTurn waits until a read of so many bytes may begin, and returns what
// lets the next begin; a small one does not wait. Owners take turns, and so do the
// tenants of each. Errors are those of takePlace.
func (s *Store) awaitReadTurn(ctx context.Context, tenantID uuid.UUID, bytes int) (done func(), err error) {
	if bytes <= smallRead {
		return func() {}, nil
	}
	giveBack, err := takePlace(ctx, s.largeReads, tenantID)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	late := time.AfterFunc(turnAtMost, giveBack)
	return func() {
		if late.Stop() {
			time.AfterFunc(min(turnRest*time.Since(begun), turnAtMost), giveBack)
		}
	}, nil
}

// readInTurn is WithTenant for a read of so many bytes, once its turn has come.
func (s *Store) readInTurn(ctx context.Context, tenantID uuid.UUID, bytes int, fn func(session) error) error {
	done, err := s.awaitReadTurn(ctx, tenantID, bytes)
	if err != nil {
		return err
	}
	defer done()
	return s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, fn)
}

// takePlace waits for a place and returns what gives it back. Errors are those of
// ctx, and an ErrUnavailable that says whose fault it is. The tenant is zero for
// what is about none.
func takePlace(ctx context.Context, places *shares.Shares, tenantID uuid.UUID) (giveBack func(), err error) {
	by := shares.User{Owner: domain.Owner(ctx), Name: tenantID.String()}
	if by.Owner == "" {
		by.Owner = by.Name // no caller asked for it: the service works on the tenant by itself
	}
	place, err := places.Take(ctx, by, 1)
	switch {
	case errors.Is(err, shares.ErrAll):
		return nil, domain.Wrap(err, domain.ErrUnavailable, "database_busy",
			"All connections to the database are in use; try again shortly.").After(retryAfter)
	case errors.Is(err, shares.ErrShare) && tenantID == uuid.Nil:
		return nil, domain.Wrap(err, domain.ErrUnavailable, "caller_busy",
			"Too many calls of yours wait for the database; try again shortly.").After(retryAfter)
	case errors.Is(err, shares.ErrShare):
		return nil, domain.Wrap(err, domain.ErrUnavailable, "tenant_busy",
			"Too many calls for this tenant, or for all of its owner, wait for the database; try again shortly.").After(retryAfter)
	case err != nil:
		return nil, fmt.Errorf("wait for a connection: %w", err)
	}
	return place.GiveBack, nil
}

// shared runs fn with a connection of the general pool that counts towards the
// share of the tenant, or, when that is zero, of the caller.
func (s *Store) shared(ctx context.Context, tenantID uuid.UUID, fn func(*pgxpool.Conn) error) error {
	giveBack, err := takePlace(ctx, s.tenantConnLimit, tenantID)
	if err != nil {
		return err
	}
	defer giveBack()
	conn, err := s.general.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	return fn(conn)
}

// ownersTransaction runs fn in a transaction on such a connection that is about a
// tenant, and sees all tenants where it has to count those of its owner.
func (s *Store) ownersTransaction(ctx context.Context, share, tenantID uuid.UUID, countOwners bool, fn func(pgx.Tx) error) error {
	return s.shared(ctx, share, func(conn *pgxpool.Conn) error {
		if countOwners {
			return inScope(ctx, conn, scope{role: s.roles().System}, fn)
		}
		return s.transactionOf(ctx, conn, tenantID, fn)
	})
}

// sharedTransaction runs fn in a transaction on such a connection, which sees the
// tenant's rows.
func (s *Store) sharedTransaction(ctx context.Context, tenantID uuid.UUID, fn func(pgx.Tx) error) error {
	return s.shared(ctx, tenantID, func(conn *pgxpool.Conn) error { return s.transactionOf(ctx, conn, tenantID, fn) })
}
