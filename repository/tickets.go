package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

var _ domain.TicketRepository = (*Store)(nil)

const ticketColumns = `hash, tenant_id, user_id, token_version, token_expires_at, key_id, expires_at, usable_until, used`

const insertTicketSQL = `
INSERT INTO stream_tickets (hash, tenant_id, user_id, token_version, token_expires_at, key_id, expires_at, usable_until)
VALUES ($1, $2, $3, $4, $5, $6, now() + $7::interval, now() + least($8::interval, $7::interval))
RETURNING ` + ticketColumns

// keyTicketVersion is the version of tickets that were asked for with an API key.
// Replicas of before there were keys take it for that of a token that was revoked.
const keyTicketVersion = -1

// InsertTicket implements domain.TicketRepository.
func (s *Store) InsertTicket(ctx context.Context, t domain.Ticket, firstUse, lifetime time.Duration) (domain.Ticket, error) {
	version := t.Holder.TokenVersion
	if t.Holder.ByKey() {
		version = keyTicketVersion
	}
	inserted, err := scanTicket(s.callers.QueryRow(ctx, insertTicketSQL, t.Hash, t.TenantID, nullID(t.Holder.UserID),
		version, nullTime(t.Holder.ExpiresAt), nullID(t.Holder.KeyID), lifetime, firstUse))
	if err != nil {
		return domain.Ticket{}, translate(err, "insert ticket")
	}
	return inserted, nil
}

const findTicketSQL = `SELECT ` + ticketColumns + ` FROM stream_tickets WHERE hash = $1 AND usable_until > now()`

// FindTicket implements domain.TicketRepository.
func (s *Store) FindTicket(ctx context.Context, hash []byte) (domain.Ticket, error) {
	found, err := scanTicket(s.callers.QueryRow(ctx, findTicketSQL, hash))
	return found, ticketError(err, "find ticket")
}

// claimTicketSQL looks at the row again after it has waited for another claim,
// so that of two at once one fails.
const claimTicketSQL = `
WITH before AS (
    SELECT hash, usable_until, used
    FROM stream_tickets
    WHERE hash = $1 AND usable_until > now() AND (NOT used OR $3)
      AND ($5 OR claim IS NULL OR claim = $2 OR claimed_until <= now())
    FOR UPDATE
)
UPDATE stream_tickets AS t
SET used = true, usable_until = t.expires_at, claim = $2, claimed_until = now() + $4::interval, takeover = false
FROM before
WHERE t.hash = before.hash
RETURNING t.hash, t.tenant_id, t.user_id, t.token_version, t.token_expires_at, t.key_id, t.expires_at, before.usable_until, before.used`

// ticketTakenSQL says why there was nothing to claim, and whether whoever has
// the ticket was asked for it.
const ticketTakenSQL = `SELECT takeover FROM stream_tickets WHERE hash = $1 AND usable_until > now() AND (NOT used OR $2)`

const askForTicketSQL = `UPDATE stream_tickets SET takeover = true WHERE hash = $1 AND claim IS NOT NULL`

// ClaimTicket implements domain.TicketRepository.
func (s *Store) ClaimTicket(ctx context.Context, hash []byte, claim uuid.UUID, use domain.TicketUse, lease time.Duration) (domain.Ticket, error) {
	resumed := use != domain.TicketFirst
	claimed, err := scanTicket(s.callers.QueryRow(ctx, claimTicketSQL, hash, claim, resumed, lease, use == domain.TicketTakeover))
	if !errors.Is(err, pgx.ErrNoRows) {
		return claimed, ticketError(err, "claim ticket")
	}
	var asked bool
	if err := s.callers.QueryRow(ctx, ticketTakenSQL, hash, resumed).Scan(&asked); err != nil {
		return domain.Ticket{}, ticketError(err, "look at claimed ticket")
	}
	if resumed && !asked {
		if _, err := s.callers.Exec(ctx, askForTicketSQL, hash); err != nil {
			return domain.Ticket{}, translate(err, "ask for ticket")
		}
	}
	return domain.Ticket{}, domain.New(domain.ErrConflict, "ticket_in_use", "Another stream is open with this ticket.")
}

const renewTicketSQL = `
UPDATE stream_tickets SET claimed_until = now() + $3::interval
WHERE hash = $1 AND claim = $2 AND usable_until > now()
RETURNING takeover`

// RenewTicket implements domain.TicketRepository. A claim that nobody else has
// taken over can be renewed after it has ended, too.
func (s *Store) RenewTicket(ctx context.Context, hash []byte, claim uuid.UUID, lease time.Duration) (wanted bool, err error) {
	err = s.callers.QueryRow(ctx, renewTicketSQL, hash, claim, lease).Scan(&wanted)
	return wanted, ticketError(err, "renew claim on ticket")
}

const releaseTicketSQL = `UPDATE stream_tickets SET claim = NULL, claimed_until = NULL, takeover = false WHERE hash = $1 AND claim = $2`

// ReleaseTicket implements domain.TicketRepository. Releasing a claim that is
// lost changes nothing.
func (s *Store) ReleaseTicket(ctx context.Context, hash []byte, claim uuid.UUID) error {
	_, err := s.callers.Exec(ctx, releaseTicketSQL, hash, claim)
	return translate(err, "release ticket")
}

const returnTicketSQL = `
UPDATE stream_tickets
SET used = $3, usable_until = $4, claim = NULL, claimed_until = NULL, takeover = false
WHERE hash = $1 AND claim = $2`

// ReturnTicket implements domain.TicketRepository.
func (s *Store) ReturnTicket(ctx context.Context, t domain.Ticket, claim uuid.UUID) error {
	_, err := s.callers.Exec(ctx, returnTicketSQL, t.Hash, claim, t.Used, t.FirstUseBy)
	return translate(err, "return ticket")
}

const deleteExpiredTicketsSQL = `
DELETE FROM stream_tickets
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM stream_tickets WHERE usable_until <= now() ORDER BY usable_until LIMIT $1 FOR UPDATE SKIP LOCKED
))`

// DeleteExpiredTickets implements domain.TicketRepository.
func (s *Store) DeleteExpiredTickets(ctx context.Context, limit int) (int, error) {
	return s.deleteSome(ctx, "delete expired tickets", deleteExpiredTicketsSQL, max(0, limit))
}

func ticketError(err error, verb string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.New(domain.ErrNotFound, "ticket_not_found", "There is no such ticket that can be used.")
	}
	return translate(err, verb)
}

// scanTicket returns no role, tenant and scopes of the holder: those are the
// user's, and the key's.
func scanTicket(row pgx.Row) (domain.Ticket, error) {
	var t domain.Ticket
	var user, key uuid.NullUUID
	var tokenExpires *time.Time
	if err := row.Scan(&t.Hash, &t.TenantID, &user, &t.Holder.TokenVersion, &tokenExpires, &key, &t.ExpiresAt, &t.FirstUseBy, &t.Used); err != nil {
		return domain.Ticket{}, fmt.Errorf("scan ticket: %w", err)
	}
	t.Holder.UserID, t.Holder.KeyID = user.UUID, key.UUID
	if t.Holder.ByKey() {
		t.Holder.TokenVersion = 0
	}
	if tokenExpires != nil {
		t.Holder.ExpiresAt = tokenExpires.UTC()
	}
	t.ExpiresAt, t.FirstUseBy = t.ExpiresAt.UTC(), t.FirstUseBy.UTC()
	return t, nil
}
