package broker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq/management"
)

// PolicyReader reads which policies and queues there are.
type PolicyReader interface {
	Policies(ctx context.Context) (policies, operators []management.Policy, err error)
	QueueNames(ctx context.Context, handle func(name string)) error
}

// ShortenedQueues returns what policies do to the queues of tenants, and to
// those that all share, by which accepted messages go away without a word. See
// RabbitMQ's documentation on parameters and policies: a queue's own argument
// wins, but for numbers, of which the lower one does.
func ShortenedQueues(ctx context.Context, o Options, r PolicyReader) ([]domain.ShortenedQueue, error) {
	policies, operators, err := r.Policies(ctx)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	kinds := [][]compiledPolicy{compile(policies), compile(operators)}
	if len(kinds[0])+len(kinds[1]) == 0 {
		return nil, nil
	}
	var found []domain.ShortenedQueue
	err = r.QueueNames(ctx, func(queue string) {
		owner, kind, ours := ownerOf(queue)
		if !ours {
			return
		}
		for _, policies := range kinds {
			at := slices.IndexFunc(policies, func(p compiledPolicy) bool { return p.matches(queue, o.typeOf(kind)) })
			if at < 0 {
				continue
			}
			p := policies[at]
			for _, setting := range slices.Sorted(maps.Keys(p.Definition)) {
				if value := p.Definition[setting]; shortens(o, kind, setting, value) {
					found = append(found, domain.ShortenedQueue{
						TenantID: owner, Queue: queue, Setting: setting, Value: fmt.Sprint(value), Policy: p.Name,
					})
				}
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	return found, nil
}

// ShortenedQueuesOf is ShortenedQueues for the queues of one tenant, whose names need
// not be asked for.
func ShortenedQueuesOf(ctx context.Context, o Options, r PolicyReader, tenantID uuid.UUID) ([]domain.ShortenedQueue, error) {
	return ShortenedQueues(ctx, o, queuesOf{r, tenantID})
}

// queuesOf knows the policies of all queues, and the queues of one tenant.
type queuesOf struct {
	PolicyReader

	tenantID uuid.UUID
}

// QueueNames implements PolicyReader.
func (q queuesOf) QueueNames(_ context.Context, handle func(name string)) error {
	handle(QueueName(q.tenantID))
	handle(DeadLetterQueueName(q.tenantID))
	return nil
}

// compiledPolicy is a policy with its pattern; nil for one that cannot be read
// here, of which it is assumed that it matches: Erlang's patterns know more than
// Go's, and a warning too many is better than none.
type compiledPolicy struct {
	management.Policy

	pattern *regexp.Regexp
}

// compile returns the policies that concern queues, the one that applies first
// at the front.
func compile(policies []management.Policy) []compiledPolicy {
	var compiled []compiledPolicy
	for _, p := range policies {
		if p.ApplyTo == "exchanges" || p.ApplyTo == "streams" {
			continue
		}
		pattern, err := regexp.Compile(p.Pattern)
		if err != nil {
			pattern = nil
		}
		compiled = append(compiled, compiledPolicy{p, pattern})
	}
	slices.SortStableFunc(compiled, func(a, b compiledPolicy) int { return cmp.Compare(b.Priority, a.Priority) })
	return compiled
}

func (p *compiledPolicy) matches(queue string, kind QueueType) bool {
	if p.ApplyTo == "quorum_queues" && kind != Quorum || p.ApplyTo == "classic_queues" && kind != Classic {
		return false
	}
	return p.pattern == nil || p.pattern.MatchString(queue)
}

// typeOf returns what type queues of this kind are declared with.
func (o Options) typeOf(kind queueKind) QueueType {
	if kind == letterQueue {
		return o.DeadLetterQueueType
	}
	return o.QueueType
}

// queueKind is what a queue is for.
type queueKind int

const (
	mainQueue queueKind = iota + 1
	letterQueue
)

// ownerOf returns whose queue it is.
func ownerOf(queue string) (owner uuid.UUID, kind queueKind, ours bool) {
	rest, ok := strings.CutPrefix(queue, "tenant_")
	if !ok || len(rest) < uuidLength {
		return uuid.Nil, 0, false
	}
	id, err := domain.ParseID(rest[:uuidLength])
	switch {
	case err != nil:
		return uuid.Nil, 0, false
	case queue == QueueName(id):
		return id, mainQueue, true
	case queue == DeadLetterQueueName(id):
		return id, letterQueue, true
	}
	return uuid.Nil, 0, false
}

const uuidLength = 36

// shortens reports whether messages go away by the setting that would stay.
func shortens(o Options, kind queueKind, setting string, value any) bool {
	switch setting {
	case "message-ttl", "expires", "max-length", "max-length-bytes":
		return true
	case "overflow":
		// A quorum queue has said so itself, except for one of dead letters; to
		// refuse what is new loses nothing that was accepted.
		return value != "reject-publish" && (kind == letterQueue || o.QueueType != Quorum)
	case "delivery-limit":
		return lowersDeliveryLimit(o, kind, value)
	case "dead-letter-exchange", "dead-letter-routing-key":
		// Only queues of dead letters do not say themselves where their messages
		// go: what leaves them is not collected.
		return kind == letterQueue
	}
	return false
}

func lowersDeliveryLimit(o Options, kind queueKind, value any) bool {
	limit, isNumber := value.(float64)
	switch {
	case kind == mainQueue && o.QueueType == Quorum:
		return isNumber && limit >= 0 && limit < deliveryLimit
	case kind == letterQueue && o.DeadLetterQueueType == Quorum:
		return isNumber && limit >= 0 && limit < math.MaxInt32
	}
	return false
}
