package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/shares"
)

const (
	// answerBytes is what large answers on their way to their clients hold
	// together; a quarter of that for one owner, and half of that for one tenant.
	answerBytes = 64 << 20
	// answerWait is how long an answer waits for others of its tenant or owner,
	// and answerQueue how many of a tenant may do so at a time.
	answerWait  = 2 * time.Second
	answerQueue = 1000
	answerRetry = 2 * time.Second
)

// answerMemory implements domain.AnswerMemory.
type answerMemory struct{ shares *shares.Shares }

func newAnswerMemory() answerMemory {
	return answerMemory{shares.New(shares.Options{
		Total: answerBytes, PerOwner: answerBytes / 4, PerUser: answerBytes / 8, Wait: answerWait, Queue: answerQueue,
	})}
}

// Reserve implements domain.AnswerMemory.
func (m answerMemory) Reserve(ctx context.Context, tenantID uuid.UUID, bytes int) (func(), error) {
	by := shares.User{Owner: domain.Owner(ctx), Name: tenantID.String()}
	if by.Owner == "" {
		by.Owner = by.Name
	}
	part, err := m.shares.Take(ctx, by, int64(bytes))
	switch {
	case errors.Is(err, shares.ErrShare):
		return nil, domain.Wrap(err, domain.ErrUnavailable, "tenant_busy",
			"Too many large answers of this tenant, or of all of its owner, wait for clients to read them; try again shortly.").After(answerRetry)
	case errors.Is(err, shares.ErrAll):
		return nil, domain.Wrap(err, domain.ErrUnavailable, "answers_busy",
			"Too many large answers wait for clients to read them; try again shortly.").After(answerRetry)
	case err != nil:
		return nil, fmt.Errorf("wait for memory: %w", err)
	}
	return part.GiveBack, nil
}
