package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"

	"github.com/google/uuid"

	"lanekeeper/model"
	"lanekeeper/pkg/httpconn"
	"lanekeeper/pkg/metrics"
)

// refusals answers what is no request that net/http can read, which no handler
// sees, as all other errors are answered.
type refusals struct {
	metrics *metrics.Metrics
	log     *slog.Logger
}

// body returns the problem document for the status.
func (r refusals) body(status int, remote net.Addr) (contentType string, body []byte) {
	code, detail := refusalText(status)
	if status == httpconn.StatusPlainHTTP {
		status = http.StatusBadRequest
	}
	problem := model.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Instance: "", RequestID: uuid.NewString(),
	}
	r.metrics.ObserveRequest("unmatched", "", status, 0)
	if status != http.StatusServiceUnavailable { // those are counted, and logged together
		r.log.LogAttrs(context.Background(), slog.LevelInfo, "what was sent is no request", slog.Int("status", status),
			slog.String("code", problem.Code), slog.String("request_id", problem.RequestID), slog.String("peer", remote.String()))
	}
	body, err := json.Marshal(problem)
	if err != nil { // strings and numbers always marshal
		return "text/plain", nil
	}
	return model.ProblemContentType, body
}

func refusalText(status int) (code, detail string) {
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		return "headers_too_large", "The head of the request is too large: it may have at most 32 KiB."
	case http.StatusNotImplemented:
		return "transfer_encoding_unknown", "The Transfer-Encoding is not understood."
	case http.StatusHTTPVersionNotSupported:
		return "http_version_unknown", "The version of HTTP is not spoken here; HTTP/1.1 is."
	case http.StatusExpectationFailed:
		return "expectation_unknown", "The header Expect asks for something else than 100-continue."
	case httpconn.StatusPlainHTTP:
		return "tls_required", "HTTPS is spoken here; the URL has to begin with https://."
	case http.StatusServiceUnavailable:
		return "too_many_connections", "There are too many connections; use fewer, or try again."
	}
	return "malformed_request", "What was sent is not a request that can be read."
}
