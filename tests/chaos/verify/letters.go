package verify

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/wait"
)

// publication is one message on its way to a tenant's queue once: what is
// replayed, or sent again, is published at another time.
type publication struct {
	tenant, message string
	at              string // Unix milliseconds, none where the publisher did not say
}

// queueRecovery is how long queues may be unreadable after a fault has ended.
const queueRecovery = 30 * time.Second

// letters are the dead letters of all tenants.
type letters struct {
	messages map[string]bool // by message id
	// of are the ids of the letters that each publication became.
	of map[publication][]string
}

func newLetters() *letters {
	return &letters{messages: make(map[string]bool), of: make(map[publication][]string)}
}

// add notes a letter. One that is in its queue and recorded has one id.
func (l *letters) add(p publication, id string) {
	l.messages[p.message] = true
	if p.message == "" || id == "" {
		return // which message it is cannot be known, or it is not recorded yet
	}
	if !slices.Contains(l.of[p], id) {
		l.of[p] = append(l.of[p], id)
	}
}

// compare finds the publications that became more than one letter.
func (l *letters) compare(f *findings) {
	for p, ids := range l.of {
		if len(ids) > 1 {
			f.add(buriedMore, "message %s of tenant %s, published at %q, is %d dead letters", p.message, p.tenant, p.at, len(ids))
		}
	}
}

// deadLetters returns all dead letters: those that still are in the queues, and
// those that were moved to the table, if there is one.
func deadLetters(ctx context.Context, e *env.Env) (*letters, error) {
	// After a partition a queue may be without a leader for a moment.
	var found *letters
	err := wait.Until(ctx, queueRecovery, "dead letters can be read", func() error {
		var err error
		found, err = readLetters(ctx, e)
		return err
	})
	return found, err
}

// readLetters is one try of deadLetters.
func readLetters(ctx context.Context, e *env.Env) (*letters, error) {
	found := newLetters()
	err := e.InDatabase(ctx, func(conn *pgx.Conn) error {
		var there bool
		if err := conn.QueryRow(ctx, `SELECT to_regclass('dead_letters') IS NOT NULL`).Scan(&there); err != nil || !there {
			return err
		}
		rows, err := conn.Query(ctx, `
SELECT tenant_id::text, message_id, coalesce(headers->>'x-published-ms', ''), letter_id::text FROM dead_letters`)
		if err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		var p publication
		var id string
		_, err = pgx.ForEachRow(rows, []any{&p.tenant, &p.message, &p.at, &id}, func() error { found.add(p, id); return nil })
		return err
	})
	if err != nil {
		return nil, err
	}
	names, err := e.QueueNames(ctx)
	if err != nil {
		return nil, err
	}
	return found, e.OnChannel(func(ch *amqp.Channel) error {
		for _, name := range names {
			if !env.IsDeadLetterQueue(name) {
				continue
			}
			for {
				d, ok, err := ch.Get(name, false) // goes back with the channel
				if err != nil {
					return fmt.Errorf("read dead letters: %w", err)
				}
				if !ok {
					break
				}
				found.addDelivery(name, &d)
			}
		}
		return nil
	})
}

// addDelivery notes a letter that is in a queue.
func (l *letters) addDelivery(queue string, d *amqp.Delivery) {
	p := publication{tenant: strings.TrimSuffix(strings.TrimPrefix(queue, "tenant_"), "_dlq"), message: d.MessageId}
	if at, ok := d.Headers["x-published-ms"].(int64); ok {
		p.at = strconv.FormatInt(at, 10)
	}
	id, _ := d.Headers["x-dead-letter-id"].(string)
	l.add(p, id)
}
