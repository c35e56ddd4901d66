package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"lanekeeper/pkg/client"
)

func Example() {
	ctx := context.Background()
	c, err := client.New("http://127.0.0.1:8080", client.WithKey(os.Getenv("LANEKEEPER_API_KEY")))
	if err != nil {
		panic(err)
	}
	defer c.Close()
	tenant, err := c.Tenants.Create(ctx, client.CreateTenant{Name: "Acme"})
	if err != nil {
		panic(err)
	}
	acme := c.ForTenant(tenant.ID)
	receipt, err := acme.PublishValue(ctx, map[string]int{"total": 12})
	if err != nil {
		panic(err)
	}
	fmt.Println("accepted", receipt.ID)
	for m, err := range acme.History(ctx, client.HistoryOptions{}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(m.Seq, string(m.Payload))
	}
}

// A caller that may itself be restarted gives a key of its own, so that it can publish
// again without knowing whether it had.
func ExampleClient_Publish() {
	c, err := client.New("http://127.0.0.1:8080", client.WithTenant("0197a3a2-7d2c-7c3e-8f7e-0242ac120002"))
	if err != nil {
		panic(err)
	}
	_, err = c.Publish(context.Background(), client.NewMessage{
		Payload: json.RawMessage(`{"order":1842,"total":12}`), Type: "order.created", OrderingKey: "order-1842", IdempotencyKey: "order-1842-created",
	})
	var refused *client.Error
	switch {
	case errors.Is(err, client.CodeTenantInactive):
		fmt.Println("later")
	case errors.As(err, &refused) && refused.Status < 500:
		fmt.Println("never:", refused.Detail, refused.Fields)
	case err != nil:
		fmt.Println("again, with the same key:", err)
	}
}

// Lines of JSON are published until there are no more, or until an interrupt. Run again
// with the same prefix within 24 hours, it goes on where it was broken off.
func ExamplePublisher() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := client.New("http://127.0.0.1:8080", client.WithTenant("0197a3a2-7d2c-7c3e-8f7e-0242ac120002"))
	if err != nil {
		panic(err)
	}
	p := c.NewPublisher(context.WithoutCancel(ctx), client.PublisherOptions{
		KeyPrefix: "import-2026-12-01",
		OnResult: func(r client.Published) {
			if r.Err != nil {
				fmt.Fprintln(os.Stderr, "line", r.Index+1, r.Err)
			}
		},
	})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := p.Publish(ctx, client.NewMessage{Payload: lines.Bytes()}); errors.Is(err, client.ErrNotJSON) {
			fmt.Fprintln(os.Stderr, err)
		} else if err != nil {
			break // interrupted
		}
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = p.Close(closing)
	fmt.Println(p.Stats().Accepted, "accepted", err)
}

// Whatever is stored from now on is handled, across disconnections, until the context
// ends.
func ExampleClient_Stream() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := client.New("http://127.0.0.1:8080", client.WithTenant("0197a3a2-7d2c-7c3e-8f7e-0242ac120002"))
	if err != nil {
		panic(err)
	}
	for m, err := range c.Stream(ctx, client.StreamOptions{After: client.Now}) {
		if errors.Is(err, context.Canceled) {
			return
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(m.Seq, m.Type, string(m.Payload))
	}
}

func ExampleEndpoints_Change() {
	c, err := client.New("http://127.0.0.1:8080", client.WithTenant("ext:acme"))
	if err != nil {
		panic(err)
	}
	_, err = c.Endpoints.Change(context.Background(), "0197a3a2-7d2c-7c3e-8f7e-0242ac120004", client.ChangeEndpoint{
		Description: new("warehouse"),
		Types:       client.Set([]string{"order.*"}),
		Concurrency: client.Default[int](), // as many as the tenant has workers
	})
	fmt.Println(err)
}
