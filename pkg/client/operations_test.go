package client_test

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
)

// operations calls each operation of the API, by its operationId.
func operations() map[string]func(ctx context.Context, c *client.Client) {
	return map[string]func(ctx context.Context, c *client.Client){
		"login":          func(ctx context.Context, c *client.Client) { _, _ = c.Login(ctx, "a@example.com", "p") },
		"logout":         func(ctx context.Context, c *client.Client) { _ = c.Logout(ctx) },
		"getMe":          func(ctx context.Context, c *client.Client) { _, _ = c.Me(ctx) },
		"changePassword": func(ctx context.Context, c *client.Client) { _ = c.ChangePassword(ctx, "a", "b") },

		"createUser": func(ctx context.Context, c *client.Client) { _, _ = c.Users.Create(ctx, client.CreateUser{}) },
		"listUsers":  func(ctx context.Context, c *client.Client) { drain(c.Users.List(ctx)) },
		"getUser":    func(ctx context.Context, c *client.Client) { _, _ = c.Users.Get(ctx, "u") },
		"updateUser": func(ctx context.Context, c *client.Client) { _, _ = c.Users.Change(ctx, "u", client.ChangeUser{}) },
		"deleteUser": func(ctx context.Context, c *client.Client) { _ = c.Users.Delete(ctx, "u") },

		"createApiKey":       func(ctx context.Context, c *client.Client) { _, _ = c.Keys.Create(ctx, client.CreateAPIKey{}) },
		"listApiKeys":        func(ctx context.Context, c *client.Client) { _, _ = c.Keys.List(ctx) },
		"revokeApiKey":       func(ctx context.Context, c *client.Client) { _ = c.Keys.Revoke(ctx, "k") },
		"createTenantApiKey": func(ctx context.Context, c *client.Client) { _, _ = c.TenantKeys.Create(ctx, client.CreateAPIKey{}) },
		"listTenantApiKeys":  func(ctx context.Context, c *client.Client) { _, _ = c.TenantKeys.List(ctx) },
		"revokeTenantApiKey": func(ctx context.Context, c *client.Client) { _ = c.TenantKeys.Revoke(ctx, "k") },

		"getPortal": func(ctx context.Context, c *client.Client) { _, _ = c.Portal.Branding(ctx) },
		"createPortalLink": func(ctx context.Context, c *client.Client) {
			_, _ = c.Portal.CreateLink(ctx, client.CreatePortalLink{})
		},
		"revokePortalLinks": func(ctx context.Context, c *client.Client) { _ = c.Portal.RevokeLinks(ctx) },

		"issueAmqpCredentials":  func(ctx context.Context, c *client.Client) { _, _ = c.AMQP.Issue(ctx) },
		"getAmqpCredentials":    func(ctx context.Context, c *client.Client) { _, _ = c.AMQP.Get(ctx) },
		"revokeAmqpCredentials": func(ctx context.Context, c *client.Client) { _ = c.AMQP.Revoke(ctx) },

		"createTenant": func(ctx context.Context, c *client.Client) { _, _ = c.Tenants.Create(ctx, client.CreateTenant{}) },
		"upsertTenant": func(ctx context.Context, c *client.Client) {
			_, _, _ = c.Tenants.PutByExternalID(ctx, "e", client.PutTenant{})
		},
		"listTenants":  func(ctx context.Context, c *client.Client) { drain(c.Tenants.List(ctx, client.ListTenants{})) },
		"getTenant":    func(ctx context.Context, c *client.Client) { _, _ = c.Tenants.Get(ctx, "t") },
		"updateTenant": func(ctx context.Context, c *client.Client) { _, _ = c.Tenants.Change(ctx, "t", client.ChangeTenant{}) },
		"deleteTenant": func(ctx context.Context, c *client.Client) { _, _ = c.Tenants.Delete(ctx, "t") },
		"setWorkers":   func(ctx context.Context, c *client.Client) { _ = c.Tenants.SetWorkers(ctx, "t", 2) },

		"listConsumers":     func(ctx context.Context, c *client.Client) { drain(c.Consumers.List(ctx)) },
		"getConsumer":       func(ctx context.Context, c *client.Client) { _, _ = c.Consumers.Get(ctx, "t") },
		"stopConsumer":      func(ctx context.Context, c *client.Client) { _, _ = c.Consumers.Stop(ctx, "t") },
		"startConsumer":     func(ctx context.Context, c *client.Client) { _, _ = c.Consumers.Start(ctx, "t") },
		"stopAllConsumers":  func(ctx context.Context, c *client.Client) { _, _ = c.Consumers.StopAll(ctx) },
		"startAllConsumers": func(ctx context.Context, c *client.Client) { _, _ = c.Consumers.StartAll(ctx) },

		"publishMessage":        func(ctx context.Context, c *client.Client) { _, _ = c.PublishValue(ctx, 1) },
		"publishMessages":       func(ctx context.Context, c *client.Client) { _, _ = c.PublishBatch(ctx, []client.NewMessage{one()}) },
		"listMessages":          func(ctx context.Context, c *client.Client) { drain(c.History(ctx, client.HistoryOptions{})) },
		"getMessage":            func(ctx context.Context, c *client.Client) { _, _ = c.Message(ctx, "m") },
		"getMessageByMessageId": func(ctx context.Context, c *client.Client) { _, _ = c.MessageByMessageID(ctx, "order/7") },
		"listMessageAttempts": func(ctx context.Context, c *client.Client) {
			drain(c.MessageAttempts(ctx, "m", client.AttemptOptions{}))
		},
		"streamMessages":     func(ctx context.Context, c *client.Client) { drain(c.Stream(ctx, client.StreamOptions{})) },
		"createStreamTicket": func(ctx context.Context, c *client.Client) { _, _ = c.StreamTicket(ctx) },

		"createEndpoint": func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Create(ctx, client.CreateEndpoint{}) },
		"upsertEndpoint": func(ctx context.Context, c *client.Client) {
			_, _, _ = c.Endpoints.PutByExternalID(ctx, "e", client.CreateEndpoint{})
		},
		"listEndpoints": func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.List(ctx) },
		"getEndpoint":   func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Get(ctx, "e") },
		"updateEndpoint": func(ctx context.Context, c *client.Client) {
			_, _ = c.Endpoints.Change(ctx, "e", client.ChangeEndpoint{})
		},
		"deleteEndpoint":       func(ctx context.Context, c *client.Client) { _ = c.Endpoints.Delete(ctx, "e") },
		"holdEndpoint":         func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Hold(ctx, "e") },
		"resumeEndpoint":       func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Resume(ctx, "e") },
		"skipMessage":          func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Skip(ctx, "e") },
		"testEndpoint":         func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Test(ctx, "e") },
		"rotateEndpointSecret": func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.RotateSecret(ctx, "e", time.Hour, "") },
		"listEndpointAttempts": func(ctx context.Context, c *client.Client) {
			drain(c.Endpoints.Attempts(ctx, "e", client.AttemptOptions{}))
		},
		"startReplay":   func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Replay(ctx, "e", client.ReplayRange{}) },
		"getReplay":     func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.GetReplay(ctx, "e", "r") },
		"cancelReplay":  func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.CancelReplay(ctx, "e", "r") },
		"resendMessage": func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Resend(ctx, "e", "m") },

		"listDeadLetters": func(ctx context.Context, c *client.Client) { drain(c.DeadLetters.List(ctx, client.ListDeadLetters{})) },
		"groupDeadLetters": func(ctx context.Context, c *client.Client) {
			_, _ = c.DeadLetters.Groups(ctx, client.ListDeadLetters{})
		},
		"getDeadLetter": func(ctx context.Context, c *client.Client) { _, _ = c.DeadLetters.Get(ctx, 17) },
		"replayDeadLetters": func(ctx context.Context, c *client.Client) {
			_, _ = c.DeadLetters.Replay(ctx, client.SelectDeadLetters{All: true})
		},
		"purgeDeadLetters": func(ctx context.Context, c *client.Client) {
			_, _ = c.DeadLetters.Purge(ctx, client.SelectDeadLetters{All: true})
		},
		"getDeadLetterJob":    func(ctx context.Context, c *client.Client) { _, _ = c.DeadLetters.Job(ctx, "j") },
		"cancelDeadLetterJob": func(ctx context.Context, c *client.Client) { _, _ = c.DeadLetters.CancelJob(ctx, "j") },

		"listDeadLetterJobs": func(ctx context.Context, c *client.Client) { _, _ = c.DeadLetters.Jobs(ctx) },
		"listDeadLetterSummaries": func(ctx context.Context, c *client.Client) {
			drain(c.DeadLetters.Summaries(ctx, client.ListDeadLetters{}))
		},
		"summarizeEndpointAttempts": func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.AttemptSummary(ctx, "e") },
		"listReplays":               func(ctx context.Context, c *client.Client) { _, _ = c.Endpoints.Replays(ctx, "e") },

		"getFleet":           func(ctx context.Context, c *client.Client) { _, _ = c.Overviews.Fleet(ctx) },
		"listReplicaTenants": func(ctx context.Context, c *client.Client) { drain(c.Overviews.OfReplica(ctx, "r")) },
		"getOverview":        func(ctx context.Context, c *client.Client) { _, _ = c.Overviews.Get(ctx) },
		"listTenantOverviews": func(ctx context.Context, c *client.Client) {
			drain(c.Overviews.Tenants(ctx, client.ListTenantOverviews{}))
		},
		"getTenantOverview": func(ctx context.Context, c *client.Client) { _, _ = c.Overviews.Tenant(ctx, "t") },
		"explainTenant":     func(ctx context.Context, c *client.Client) { _, _ = c.Tenants.Explain(ctx, "t") },
		"explainMessage":    func(ctx context.Context, c *client.Client) { _, _ = c.ExplainMessage(ctx, "m") },

		"listUsage":        func(ctx context.Context, c *client.Client) { drain(c.Usage(ctx, client.UsageOptions{})) },
		"listAuditEntries": func(ctx context.Context, c *client.Client) { drain(c.Audit(ctx, client.AuditOptions{})) },
	}
}

// elsewhere are operations that the client leaves out, each with the reason.
func elsewhere() map[string]string { return map[string]string{} }

// The client has a method for every operation of the API, which calls that operation.
func TestEveryOperationHasAMethod(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/openapi.json")
	require.NoError(t, err)
	var api struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(document, &api))
	calls, left := operations(), elsewhere()
	known := make(map[string]bool)
	for path, methods := range api.Paths {
		for method, operation := range methods {
			id := operation.OperationID
			known[id] = true
			call, called := calls[id]
			if left[id] != "" {
				require.False(t, called, "%s is called, and left out", id)
				continue
			}
			require.True(t, called, "the client has no method for %s (%s %s)", id, method, path)
			t.Run(id, func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				var got []string
				inTime(t, func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, r.Method+" "+r.URL.EscapedPath())
					refuse(w, http.StatusNotFound, "tenant_not_found", "")
				}, func(t *testing.T, w *world) { call(t.Context(), w.client) })
				require.Len(t, got, 1, "it makes one call")
				gotMethod, gotPath, _ := strings.Cut(got[0], " ")
				require.Equal(t, strings.ToUpper(method), gotMethod)
				require.Equal(t, path, templateOf(gotPath, api.Paths), "of %s", gotPath)
			})
		}
	}
	for id := range calls {
		require.True(t, known[id], "there is no operation %s", id)
	}
	for id := range left {
		require.True(t, known[id], "there is no operation %s", id)
	}
}

// templateOf returns the path of the document that a path of a request is of: the one
// with the fewest parameters.
func templateOf[T any](path string, templates map[string]T) string {
	best, fewest := "", 1000
	for template := range templates {
		given, wanted := strings.Split(strings.TrimPrefix(path, "/api"), "/"), strings.Split(template, "/")
		matches, parameters := len(given) == len(wanted), 0
		for i := 0; matches && i < len(given); i++ {
			if strings.HasPrefix(wanted[i], "{") {
				parameters++
			} else {
				matches = wanted[i] == given[i]
			}
		}
		if matches && parameters < fewest {
			best, fewest = template, parameters
		}
	}
	return best
}

// drain reads a sequence to its end, or to its error.
func drain[T any](sequence iter.Seq2[T, error]) {
	for _, err := range sequence {
		if err != nil {
			return
		}
	}
}
