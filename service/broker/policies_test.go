package broker_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/rabbitmq/management"
	"lanekeeper/service/broker"
)

// policies is a broker.PolicyReader in memory.
type policies struct {
	own, operators []management.Policy
	queues         []string
}

func (p policies) Policies(context.Context) (own, operators []management.Policy, err error) {
	return p.own, p.operators, nil
}

func (p policies) QueueNames(_ context.Context, handle func(string)) error {
	for _, q := range p.queues {
		handle(q)
	}
	return nil
}

func TestPoliciesThatShortenTheLifeOfMessages(t *testing.T) {
	t.Parallel()
	tenant := uuid.MustParse("01a22823-9cca-71fa-9831-bc7eb06f84e6")
	queues := []string{
		broker.QueueName(tenant), broker.DeadLetterQueueName(tenant), "lanekeeper.retry.1s", "somebody's",
		"tenant_of_somebody_else_queue_with_a_long_name",
	}
	policy := func(definition map[string]any) management.Policy {
		return management.Policy{Name: "p", Pattern: ".*", ApplyTo: "queues", Definition: definition}
	}
	quorum := broker.Options{QueueType: broker.Quorum, DeadLetterQueueType: broker.Classic}
	classic := broker.Options{QueueType: broker.Classic, DeadLetterQueueType: broker.Classic}
	all := []string{queues[0], queues[1]}
	for name, c := range map[string]struct {
		options        broker.Options
		own, operators []management.Policy
		want           []string
	}{
		"message-ttl":                     {quorum, []management.Policy{policy(map[string]any{"message-ttl": 1.0})}, nil, all},
		"expires":                         {quorum, nil, []management.Policy{policy(map[string]any{"expires": 1.0})}, all},
		"max-length":                      {quorum, []management.Policy{policy(map[string]any{"max-length": 1.0})}, nil, all},
		"max-length-bytes":                {quorum, nil, []management.Policy{policy(map[string]any{"max-length-bytes": 1.0})}, all},
		"overflow that the queue refuses": {quorum, []management.Policy{policy(map[string]any{"overflow": "drop-head"})}, nil, queues[1:2]},
		"overflow":                        {classic, []management.Policy{policy(map[string]any{"overflow": "drop-head"})}, nil, all},
		"overflow that loses nothing":     {classic, []management.Policy{policy(map[string]any{"overflow": "reject-publish"})}, nil, nil},
		"a low delivery limit":            {quorum, []management.Policy{policy(map[string]any{"delivery-limit": 20.0})}, nil, queues[:1]},
		"a high delivery limit":           {quorum, []management.Policy{policy(map[string]any{"delivery-limit": 5000.0})}, nil, nil},
		"another dead letter exchange":    {quorum, []management.Policy{policy(map[string]any{"dead-letter-exchange": "x"})}, nil, queues[1:2]},
		"what changes no life":            {quorum, []management.Policy{policy(map[string]any{"queue-leader-locator": "balanced", "ha-mode": "all"})}, nil, nil},
		"of exchanges": {quorum, []management.Policy{
			{Name: "p", Pattern: ".*", ApplyTo: "exchanges", Definition: map[string]any{"message-ttl": 1.0}},
		}, nil, nil},
		"behind one of a higher priority": {quorum, []management.Policy{
			{Name: "low", Pattern: ".*", Definition: map[string]any{"message-ttl": 1.0}},
			{Name: "high", Pattern: "_queue$", Priority: 7, Definition: map[string]any{"max-in-memory-length": 1.0}},
		}, nil, queues[1:2]},
		"for another type of queue": {quorum, []management.Policy{
			{Name: "p", Pattern: ".*", ApplyTo: "classic_queues", Definition: map[string]any{"message-ttl": 1.0}},
		}, nil, queues[1:2]},
		"a pattern that Go does not know": {quorum, []management.Policy{
			{Name: "p", Pattern: "^(?!x)", Definition: map[string]any{"message-ttl": 1.0}},
		}, nil, all},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := broker.ShortenedQueues(t.Context(), c.options, policies{c.own, c.operators, queues})
			require.NoError(t, err)
			var got []string
			for _, f := range found {
				got = append(got, f.Queue)
			}
			require.Equal(t, c.want, got)
		})
	}
}
