// Command generated goes through the main flow with a client that oapi-codegen made of
// openapi.json, in the package lane beside it.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"example.com/generated/lane"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Getenv("BASE_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, base string) error {
	open, err := lane.NewClientWithResponses(base)
	if err != nil {
		return err
	}
	login, err := open.LoginWithResponse(ctx, lane.Login{Email: os.Getenv("EMAIL"), Password: os.Getenv("PASSWORD")})
	if err != nil || login.JSON200 == nil {
		return fmt.Errorf("log in: %v %s", err, login.Body)
	}
	client, err := lane.NewClientWithResponses(base, lane.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+login.JSON200.Token)
		return nil
	}))
	if err != nil {
		return err
	}

	created, err := client.CreateTenantWithResponse(ctx, nil, lane.CreateTenant{Name: "Generated"})
	if err != nil || created.JSON201 == nil {
		return fmt.Errorf("create tenant: %v %s", err, created.Body)
	}
	tenant := created.JSON201.Id.String()
	stream, err := client.StreamMessages(ctx, &lane.StreamMessagesParams{XTenantID: &tenant, Cursor: new("0")})
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	defer stream.Body.Close()

	publish := func(text, key string) (*lane.PublishMessageResponse, error) {
		return client.PublishMessageWithResponse(ctx, &lane.PublishMessageParams{XTenantID: &tenant, IdempotencyKey: &key},
			lane.PublishMessage{Payload: map[string]any{"text": text}, Type: new("order.created")})
	}
	first, err := publish("one", "key-1")
	if err != nil || first.JSON202 == nil {
		return fmt.Errorf("publish: %v %s", err, first.Body)
	}
	again, err := publish("one", "key-1")
	if err != nil || again.JSON202 == nil || again.JSON202.Id != first.JSON202.Id {
		return fmt.Errorf("publish again: %v %s", err, again.Body)
	}
	other, err := publish("another", "key-1")
	if err != nil || other.ApplicationproblemJSON422 == nil || other.ApplicationproblemJSON422.Code != lane.ProblemCodeIdempotencyKeyReused {
		return fmt.Errorf("publish another body with the key: %v %s", err, other.Body)
	}
	batch, err := client.PublishMessagesWithResponse(ctx, &lane.PublishMessagesParams{XTenantID: &tenant},
		lane.PublishBatch{Messages: []lane.BatchMessage{{Payload: 2}, {Payload: nil}}})
	if err != nil || batch.JSON202 == nil || batch.JSON202.Accepted != 2 {
		return fmt.Errorf("publish a batch: %v %s", err, batch.Body)
	}

	for events, lines := 0, bufio.NewScanner(stream.Body); events < 3; {
		if !lines.Scan() {
			return fmt.Errorf("stream: ended after %d events: %v", events, lines.Err())
		}
		if strings.HasPrefix(lines.Text(), "data:") {
			events++
		}
	}
	history, err := client.ListMessagesWithResponse(ctx, &lane.ListMessagesParams{XTenantID: &tenant, Limit: new(2)})
	if err != nil || history.JSON200 == nil || len(history.JSON200.Data) != 2 || history.JSON200.NextCursor == "" {
		return fmt.Errorf("history: %v %s", err, history.Body)
	}
	rest, err := client.ListMessagesWithResponse(ctx, &lane.ListMessagesParams{XTenantID: &tenant, Cursor: &history.JSON200.NextCursor})
	if err != nil || rest.JSON200 == nil || len(rest.JSON200.Data) != 1 || rest.JSON200.Data[0].Seq != 3 {
		return fmt.Errorf("rest of the history: %v %s", err, rest.Body)
	}

	deleted, err := client.DeleteTenantWithResponse(ctx, tenant)
	if err != nil || deleted.StatusCode() != http.StatusNoContent {
		return fmt.Errorf("delete tenant: %v %s", err, deleted.Body)
	}
	gone, err := client.GetTenantWithResponse(ctx, tenant)
	if err != nil || gone.ApplicationproblemJSON404 == nil || gone.ApplicationproblemJSON404.Code != lane.ProblemCodeTenantNotFound {
		return fmt.Errorf("get a tenant that is gone: %v %s", err, gone.Body)
	}
	fmt.Println("all done")
	return nil
}
