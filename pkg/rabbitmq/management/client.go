// Package management does by RabbitMQ's HTTP API what AMQP cannot: it reads the
// policies of a virtual host and the names of its queues, and makes, limits and deletes
// users. A Client reads page by page, within bounds of time and size, and starts no
// goroutine.
package management

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// pageSize is how many queues are asked for at a time, and maxPages bounds
	// how many pages are read.
	pageSize = 500
	maxPages = 400
	// maxAnswer bounds one answer in bytes.
	maxAnswer = 8 << 20
	// callTimeout bounds one call.
	callTimeout = 10 * time.Second
)

// ErrRefused: the API does not let its user do that.
var ErrRefused = errors.New("the management API refuses")

// errAnswer: the API answers with something else than was asked for.
var errAnswer = errors.New("unexpected answer of the management API")

// Client works on one virtual host, and on users. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	vhost string
	http  *http.Client
}

// New returns a Client for the API at this URL, whose user it uses, and for a
// virtual host.
func New(location, vhost string) (*Client, error) {
	base, err := url.Parse(location)
	if err != nil {
		return nil, errors.New("the URL of the management API is not valid") // what url.Parse says may hold a password
	}
	// Neither a proxy nor a redirect gets the password.
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Client{base: base, vhost: vhost, http: client}, nil
}

// Policy is one policy, or an operator's.
type Policy struct {
	Name     string `json:"name"`
	Pattern  string `json:"pattern"`
	ApplyTo  string `json:"apply-to"`
	Priority int    `json:"priority"`
	// Definition maps settings to their values: numbers or text.
	Definition map[string]any `json:"definition"`
}

// Policies returns the policies of the virtual host, and those of its
// operators. Of each kind the one with the highest priority that matches applies
// to a queue.
func (c *Client) Policies(ctx context.Context) (policies, operators []Policy, err error) {
	if err := c.get(ctx, nil, &policies, "api", "policies", c.vhost); err != nil {
		return nil, nil, err
	}
	if err := c.get(ctx, nil, &operators, "api", "operator-policies", c.vhost); err != nil {
		return nil, nil, err
	}
	return policies, operators, nil
}

// QueueNames calls handle with the name of every queue. What else the API says
// of queues depends on the statistics that the broker keeps.
func (c *Client) QueueNames(ctx context.Context, handle func(name string)) error {
	for page := 1; page <= maxPages; page++ {
		var answer struct {
			Items []struct {
				Name string `json:"name"`
			} `json:"items"`
			PageCount int `json:"page_count"`
		}
		query := url.Values{"page": {strconv.Itoa(page)}, "page_size": {strconv.Itoa(pageSize)}, "columns": {"name"}}
		if err := c.get(ctx, query, &answer, "api", "queues", c.vhost); err != nil {
			return err
		}
		for _, q := range answer.Items {
			handle(q.Name)
		}
		if page >= answer.PageCount {
			return nil
		}
	}
	return nil
}

func (c *Client) get(ctx context.Context, query url.Values, target any, path ...string) error {
	response, err := c.do(ctx, http.MethodGet, query, nil, path...)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return unexpected(response)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(target); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}

// do makes one call. Whoever calls it closes the body of the answer.
func (c *Client) do(ctx context.Context, method string, query url.Values, body []byte, path ...string) (*http.Response, error) {
	u := *c.base
	u.User = nil
	for i, part := range path {
		path[i] = url.PathEscape(part)
	}
	location := u.JoinPath(path...)
	location.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, location.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if user := c.base.User; user != nil {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the management API: %w", err)
	}
	return response, nil
}

// unexpected returns what a status says that was not asked for.
func unexpected(response *http.Response) error {
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%w: %s", ErrRefused, response.Status)
	}
	return fmt.Errorf("%w: %s", errAnswer, response.Status)
}
