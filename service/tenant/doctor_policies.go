package tenant

import (
	"context"
	"fmt"

	"lanekeeper/domain"
)

// examinePolicies reports policies by which accepted messages go away, as far
// as it can be asked for them, and of messages that went away by one and are
// recorded as dead letters. Those that set them have to take them back.
func (d *Doctor) examinePolicies(ctx context.Context, report func(Finding)) error {
	if d.o.Shortened != nil {
		queues, err := d.o.Shortened(ctx)
		if err != nil {
			return fmt.Errorf("look for policies: %w", err)
		}
		for i := range queues {
			report(Finding{TenantID: queues[i].TenantID, Problem: shortenedText(&queues[i])})
		}
	}
	if d.o.Deaths == nil {
		return nil
	}
	deaths, err := d.o.Deaths(ctx)
	if err != nil {
		return fmt.Errorf("look for dead letters of the broker: %w", err)
	}
	for _, death := range deaths {
		report(Finding{TenantID: death.TenantID, Problem: fmt.Sprintf(
			"%d dead letters died in a queue by %s and not by us; a policy, or an argument of the queue, shortens their life", death.Count, deathText(death.Reason))})
	}
	return nil
}

func shortenedText(q *domain.ShortenedQueue) string {
	return fmt.Sprintf("policy %s sets %s to %s for queue %s, by which accepted messages go away", q.Policy, q.Setting, q.Value, q.Queue)
}

// deathText says in words what RabbitMQ calls the reason of a death.
func deathText(reason string) string {
	switch reason {
	case "expired":
		return "age (expired)"
	case "maxlen":
		return "their number (maxlen)"
	}
	return reason
}
