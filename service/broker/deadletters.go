package broker

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
)

const (
	// maxLetterError bounds the error text of a letter, in bytes.
	maxLetterError = 1000

	// maxAttempts is more than any setting lets be, for headers that claim more.
	maxAttempts = 100

	// headerDeath is what the broker writes into messages that it
	// dead-letters; see RabbitMQ's documentation on dead letter exchanges.
	headerDeath = "x-death"
	// deathByLimit is the reason there for a message that came back to its
	// queue too often.
	deathByLimit = "delivery_limit"
)

// ReadDeadLetter implements domain.DeadLetterQueues. What Lanekeeper gave up
// has an id of its own and no x-death; a message that the broker put there may
// carry forged headers, so that x-death goes first.
func (*Subscriber) ReadDeadLetter(tenantID uuid.UUID, d domain.Delivery) (domain.DeadLetter, bool) {
	deaths, dead := d.Headers[headerDeath]
	reason := domain.DeadLetterReason(text(d.Headers[HeaderReason]))
	id, err := domain.ParseID(text(d.Headers[HeaderDeadLetterID]))
	if dead || err != nil || !slices.Contains(domain.DeadLetterReasons(), reason) {
		return foreignLetter(tenantID, &d), diedByLimit(deaths, QueueName(tenantID))
	}
	letter := domain.DeadLetter{
		ID: id, TenantID: tenantID, MessageID: messageID(tenantID, d.MessageID), Type: d.Type, Body: d.Body,
		Headers: letterHeaders(&d), Reason: reason,
		Error: bounded(text(d.Headers[HeaderError])), Attempts: min(count(d.Headers[HeaderAttempts]), maxAttempts),
	}
	if d.MessageID == id.String() {
		letter.MessageID = "" // it had none when it died
	}
	if ms, ok := d.Headers[HeaderDiedAt].(int64); ok {
		letter.DiedAt = time.UnixMilli(ms)
	}
	for _, ours := range []string{HeaderReason, HeaderError, HeaderAttempts, HeaderDeadLetterID, HeaderDiedAt} {
		delete(letter.Headers, ours)
	}
	return letter, false
}

// foreignLetter makes a letter of a message that another client put into the
// dead-letter queue.
func foreignLetter(tenantID uuid.UUID, d *domain.Delivery) domain.DeadLetter {
	letter := domain.DeadLetter{
		ID:       foreignID(tenantID, d),
		TenantID: tenantID, MessageID: messageID(tenantID, d.MessageID), Type: d.Type, Body: d.Body,
		Headers: letterHeaders(d), Reason: domain.ReasonUnknown,
		Error: "it came to the dead-letter queue from elsewhere",
	}
	if d.Refusal.Reason != "" {
		letter.Reason, letter.Error = d.Refusal.Reason, d.Refusal.Error
	}
	if why := text(lastDeath(d.Headers[headerDeath])["reason"]); why != "" {
		letter.Error = bounded("the broker dead-lettered it: " + why)
	}
	return letter
}

// foreignID returns the id of a letter that came without one. Of two letters
// with one id only the first is kept, so the same message gets the same id when
// it is delivered again, and another one when it was published or died again.
// Messages that have no id may be equal in everything, up to the second in
// which they died; each delivery of those is a letter of its own, for two
// letters of one message are better than one of two.
func foreignID(tenantID uuid.UUID, d *domain.Delivery) uuid.UUID {
	if d.MessageID == "" {
		return uuid.New()
	}
	death := lastDeath(d.Headers[headerDeath])
	died, _ := death["time"].(time.Time)
	body := sha256.Sum256(d.Body)
	return uuid.NewSHA1(tenantID, fmt.Appendf(body[:], "%q %d %d %d %q %q", d.MessageID, d.Published.UnixMilli(),
		died.Unix(), count(death["count"]), text(death["queue"]), text(death["reason"])))
}

// diedByLimit reports whether the broker put a message there because it came
// back to the queue too often. Only the first entry is the broker's for certain:
// the others may be what the message was published with.
func diedByLimit(deaths any, queue string) bool {
	death := lastDeath(deaths)
	return text(death["queue"]) == queue && text(death["reason"]) == deathByLimit
}

// lastDeath returns what the broker says of the last time that a message died
// in one queue for one reason: since when, and how often.
func lastDeath(deaths any) amqp.Table {
	list, _ := deaths.([]any)
	if len(list) == 0 {
		return nil
	}
	death, _ := list[0].(amqp.Table)
	return death
}

// messageID returns an id that text in a database can hold. Any other becomes
// the UUID under which a message with that id is stored.
func messageID(tenantID uuid.UUID, id string) string {
	if utf8.ValidString(id) && !strings.Contains(id, "\x00") {
		return id
	}
	return uuid.NewSHA1(tenantID, []byte(id)).String()
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func count(value any) int {
	switch n := value.(type) {
	case int64:
		return int(max(0, min(n, math.MaxInt32)))
	case int32:
		return int(max(0, n))
	}
	return 0
}

func bounded(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxLetterError)], "")
}

// letterHeaders returns the headers of the message, without those that count
// its deliveries.
func letterHeaders(d *domain.Delivery) map[string]any {
	headers := plainTable(domain.LetterHeaders(d))
	delete(headers, "x-delivery-count")
	delete(headers, "x-acquired-count")
	return headers
}

// plainTable copies a table without the library's own types.
func plainTable(table map[string]any) map[string]any {
	plain := make(map[string]any, len(table))
	for name, value := range table {
		plain[name] = plainValue(value)
	}
	return plain
}

func plainValue(value any) any {
	switch v := value.(type) {
	case amqp.Table:
		return plainTable(v)
	case []any:
		items := make([]any, len(v))
		for i := range v {
			items[i] = plainValue(v[i])
		}
		return items
	case amqp.Decimal:
		return decimalText(v)
	}
	return value
}

func decimalText(d amqp.Decimal) string { return fmt.Sprintf("%de-%d", d.Value, d.Scale) }
