package management

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
)

// saltLength is what RabbitMQ takes, in bytes.
const saltLength = 4

// User is a user of the broker, and what it may do in the virtual host. See RabbitMQ's
// documentation on access control.
type User struct {
	Name, Password string
	// Configure, Write and Read are patterns of the names of what it may do that to;
	// "^$" for nothing.
	Configure, Write, Read string
	// MaxConnections and MaxChannels are how many it may have, over all nodes.
	MaxConnections, MaxChannels int
}

// PutUser makes the user, or changes it to what is said here. It has no tags, and so
// cannot use the management API. The API gets the password as its hash.
// Its permissions come last, so that there is none without limits. Connections that it
// has stay open. ErrRefused says that the Client's own user has not the tag
// administrator.
func (c *Client) PutUser(ctx context.Context, u User) error {
	account := map[string]any{"password_hash": hash(u.Password), "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""}
	if err := c.change(ctx, http.MethodPut, account, "api", "users", u.Name); err != nil {
		return fmt.Errorf("put user: %w", err)
	}
	for limit, n := range map[string]int{"max-connections": u.MaxConnections, "max-channels": u.MaxChannels} {
		if err := c.change(ctx, http.MethodPut, map[string]int{"value": n}, "api", "user-limits", u.Name, limit); err != nil {
			return fmt.Errorf("limit user: %w", err)
		}
	}
	permissions := map[string]string{"configure": u.Configure, "write": u.Write, "read": u.Read}
	if err := c.change(ctx, http.MethodPut, permissions, "api", "permissions", c.vhost, u.Name); err != nil {
		return fmt.Errorf("permit user: %w", err)
	}
	return nil
}

// CloseConnections ends all connections of a user.
func (c *Client) CloseConnections(ctx context.Context, name string) error {
	if err := c.change(ctx, http.MethodDelete, nil, "api", "connections", "username", name); err != nil {
		return fmt.Errorf("close connections of user: %w", err)
	}
	return nil
}

// DeleteUser deletes a user, which ends its connections. One that does not exist is no
// error.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	if err := c.change(ctx, http.MethodDelete, nil, "api", "users", name); err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return nil
}

// PermittedUsers returns the names of all users who may do something in the virtual
// host.
func (c *Client) PermittedUsers(ctx context.Context) ([]string, error) {
	var permissions []struct {
		User string `json:"user"`
	}
	if err := c.get(ctx, nil, &permissions, "api", "vhosts", c.vhost, "permissions"); err != nil {
		return nil, err
	}
	names := make([]string, len(permissions))
	for i := range permissions {
		names[i] = permissions[i].User
	}
	return names, nil
}

// change makes a call whose answer says nothing. That what is deleted is not there is
// no error.
func (c *Client) change(ctx context.Context, method string, body any, path ...string) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	response, err := c.do(ctx, method, nil, text, path...)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode < http.StatusMultipleChoices:
		return nil
	case method == http.MethodDelete && response.StatusCode == http.StatusNotFound:
		return nil
	}
	return unexpected(response)
}

// hash returns a password as RabbitMQ keeps it: a salt, and the SHA-256 of that and the
// password.
func hash(password string) string {
	salt := make([]byte, saltLength, saltLength+sha256.Size)
	_, _ = rand.Read(salt) // never fails, see its documentation
	sum := sha256.Sum256(append(salt[:saltLength:saltLength], password...))
	return base64.StdEncoding.EncodeToString(append(salt, sum[:]...))
}
