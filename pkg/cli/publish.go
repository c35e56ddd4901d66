package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/pkg/client"
)

// publishRetry is how long publishing is tried again unless said otherwise.
const publishRetry = 30 * time.Second

// publishing is what "publish" was told.
type publishing struct {
	// template has what goes with each message.
	template  client.NewMessage
	headers   []string
	file      string
	envelope  bool
	keyPrefix string
	skip      int64
	ordered   bool
	format    string

	conn   *connection
	client *client.Client
	// tell notes what goes on for who looks on.
	tell func(format string, args ...any)
}

func publish(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "publish [MESSAGE]", Short: "Publish a message, or one for each line of a file or of standard input",
		Long: "Publish a message, or one for each line of a file or of standard input.\n\n" +
			"MESSAGE is JSON, @FILE for a file with one JSON document, or - for one document a line on\n" +
			"standard input (NDJSON), as --file reads them from a file. What is accepted is durable.\n\n" +
			"Many are published in batches, several at a time, with idempotency keys made of --key-prefix\n" +
			"and the number of the line. When that is broken off, it says how to go on: with the same\n" +
			"prefix, nothing is stored twice.",
		Example: `lanekeeper publish -t $TENANT '{"text":"hello"}' --type greeting` + "\n" +
			"lanekeeper publish -t $TENANT - < orders.ndjson\n" +
			"lanekeeper publish -t $TENANT --file orders.ndjson --key-prefix import-7 --skip 41000\n" +
			`echo '{"payload":{"total":42},"type":"order.created","ordering_key":"customer-7"}' | lanekeeper publish -t $TENANT --envelope -`,
	}
	conn := connect(c)
	conn.ofTenant(c, ofKey)
	p := publishing{conn: conn, tell: note(a)}
	conn.tellAttempts(func(format string, args ...any) { p.tell(format, args...) })
	flags := c.Flags()
	flags.StringVar(&p.file, "file", "", "publish each line of this `file`")
	flags.StringVar(&p.template.Type, "type", "", "what kind of message it is, such as order.created")
	flags.StringVar(&p.template.OrderingKey, "ordering-key", "", "names the messages among which order matters")
	flags.StringArrayVar(&p.headers, "header", nil, "header `name=value` to go with it; may be given 20 times")
	flags.StringVar(&p.template.IdempotencyKey, "idempotency-key", "", "makes publishing one message safe to repeat for 24 hours; made up unless given")
	flags.BoolVar(&p.envelope, "envelope", false, "each line is a message, with payload, type, ordering_key, headers and idempotency_key")
	flags.StringVar(&p.keyPrefix, "key-prefix", "", "begins the idempotency keys of many; made up unless given")
	flags.BoolVar(&conn.keyless, "no-keys", false, "publish many without idempotency keys, which is faster and not safe to repeat")
	flags.Int64Var(&p.skip, "skip", 0, "leave out so many `lines` at the beginning")
	flags.BoolVar(&p.ordered, "ordered", false, "one batch at a time, so that they are published in the order of the lines")
	flags.DurationVar(&conn.retryFor, "retry-for", publishRetry, "for how long it is tried again while the service does not take it")
	outputFlag(c, &p.format, formatID)
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		source, many, err := p.source(a, c, args)
		if err != nil {
			return err
		}
		if many {
			return p.many(ctx, a, cl, source)
		}
		return p.single(ctx, a, cl, source)
	})
}

// source returns what is read, and whether it is a message a line.
func (p *publishing) source(a *app, c *cobra.Command, args []string) (source io.Reader, many bool, err error) {
	if p.template.Headers, err = pairs(c, "header", p.headers); err != nil {
		return nil, false, err
	}
	if (len(args) > 0) == (p.file != "") {
		return nil, false, wrongUse(c, "say what to publish: JSON, @FILE, - or --file FILE")
	}
	many = p.file != "" || args[0] == "-"
	for _, only := range []struct {
		flag string
		many bool
	}{{"idempotency-key", false}, {"envelope", true}, {"key-prefix", true}, {"no-keys", true}, {"skip", true}, {"ordered", true}} {
		if c.Flag(only.flag).Changed && only.many != many {
			return nil, false, wrongUse(c, "--%s is for %s", only.flag, map[bool]string{true: "many messages: - or --file", false: "one message"}[only.many])
		}
	}
	if p.conn.keyless && p.keyPrefix != "" {
		return nil, false, wrongUse(c, "--no-keys and --key-prefix exclude each other")
	}
	switch {
	case p.file != "":
		source, err = os.Open(p.file)
	case args[0] == "-":
		source = a.In
	case strings.HasPrefix(args[0], "@"):
		source, err = os.Open(args[0][1:])
	default:
		source = strings.NewReader(args[0])
	}
	if err != nil {
		return nil, false, fmt.Errorf("read what to publish: %w", err)
	}
	return source, many, nil
}

// single publishes one message.
func (p *publishing) single(ctx context.Context, a *app, cl *client.Client, source io.Reader) error {
	if file, ok := source.(*os.File); ok {
		defer file.Close()
	}
	payload, err := io.ReadAll(source)
	if err != nil {
		return fmt.Errorf("read what to publish: %w", err)
	}
	m := p.template
	m.Payload = payload
	receipt, err := cl.Publish(ctx, m)
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	switch p.format {
	case formatJSON:
		return printJSON(a.Out, receiptLine{receipt.ID, receipt.TenantID, receipt.IdempotencyKey, receipt.Replayed})
	case formatID:
		_, err = fmt.Fprintln(a.Out, receipt.ID)
	default:
		state := "accepted"
		if receipt.Replayed {
			state = "accepted before, with the same key"
		}
		_, err = fmt.Fprintln(a.Out, receipt.ID, state)
	}
	return err //nolint:wrapcheck // of the output
}

type receiptLine struct {
	ID             string `json:"id"`
	TenantID       string `json:"tenant_id"`
	IdempotencyKey string `json:"idempotency_key"`
	Replayed       bool   `json:"replayed"`
}

// pairs reads what was given as name=value.
func pairs(c *cobra.Command, flag string, given []string) (map[string]string, error) {
	if len(given) == 0 {
		return nil, nil //nolint:nilnil // no pairs
	}
	read := make(map[string]string, len(given))
	for _, pair := range given {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, wrongUse(c, "--%s must be name=value, not %q", flag, pair)
		}
		read[name] = value
	}
	return read, nil
}

// message returns the message that a line is.
func (p *publishing) message(line []byte) (client.NewMessage, error) {
	m := p.template
	if !p.envelope {
		m.Payload = line
		return m, nil
	}
	var given struct {
		Payload        json.RawMessage   `json:"payload"`
		Type           *string           `json:"type"`
		OrderingKey    *string           `json:"ordering_key"`
		Headers        map[string]string `json:"headers"`
		IdempotencyKey *string           `json:"idempotency_key"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(line)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return m, fmt.Errorf("is no message: %w", err)
	}
	m.Payload = given.Payload
	for _, field := range []struct{ to, from *string }{{&m.Type, given.Type}, {&m.OrderingKey, given.OrderingKey}, {&m.IdempotencyKey, given.IdempotencyKey}} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	if given.Headers != nil {
		m.Headers = given.Headers
	}
	return m, nil
}
