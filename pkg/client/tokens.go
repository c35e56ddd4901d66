package client

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// TokenSource has the token that a client calls with. It must be safe for concurrent
// use.
type TokenSource interface {
	// Token returns a token or an API key; "" for none. It is called before every
	// attempt, so it should remember. A refused that is not empty is one that was just
	// answered with 401: where there is another one, or a new one can be had, the call
	// is made once more with that.
	Token(ctx context.Context, refused string) (string, error)
}

// StaticToken is a token that never changes.
type StaticToken string

// Token returns it. For one that was refused there is no other, and the refusal
// stands.
func (t StaticToken) Token(_ context.Context, _ string) (string, error) { return string(t), nil }

// Token is what a login returned.
type Token struct {
	Token     string    `json:"token"`
	TokenType string    `json:"token_type"`
	ExpiresAt time.Time `json:"expires_at"`
	User      User      `json:"user"`
}

// renewBefore is how long before its end a token is replaced: longer than the service
// takes to answer a call.
const renewBefore = time.Minute

// login logs in when that is needed.
type login struct {
	email, password string
	api             *caller // set when the client is made

	// turn lets one caller at a time look at the token, and log in.
	turn      chan struct{}
	token     string
	expiresAt time.Time // by the clock of this machine
}

func newLogin(email, password string) *login {
	return &login{email: email, password: password, turn: make(chan struct{}, 1)}
}

// Token implements TokenSource.
func (l *login) Token(ctx context.Context, refused string) (string, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return "", ctx.Err() //nolint:wrapcheck // nothing to add
	}
	if l.token != "" && l.token != refused && time.Now().Before(l.expiresAt) {
		return l.token, nil
	}
	t, err := logIn(ctx, l.api, l.email, l.password)
	if err != nil {
		return "", err
	}
	if t.Token == "" {
		return "", errors.New("the answer to a login has no token")
	}
	left := time.Until(t.ExpiresAt)
	l.token, l.expiresAt = t.Token, time.Now().Add(max(left-renewBefore, left/2))
	return l.token, nil
}

func logIn(ctx context.Context, c *caller, email, password string) (*Token, error) {
	body := struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}{email, password}
	return fetch[Token](ctx, c, &call{method: http.MethodPost, path: "/login", body: body, anonymous: true, again: always})
}
