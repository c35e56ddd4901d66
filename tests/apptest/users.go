package apptest

import (
	"net/http"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// Password is that of every user that AddUser adds.
const Password = "correct horse battery"

// AddUser inserts a user by SQL, as an administrator would, with a bcrypt hash.
// Role and tenant may be "" for NULL. It returns the user's id.
func (p *Probes) AddUser(email, role, tenant string) (id string) {
	p.t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(Password), bcrypt.MinCost)
	require.NoError(p.t, err)
	const query = `
INSERT INTO users (name, email, password, role, tenant_id)
VALUES ($1, $1, $2, nullif($3, ''), nullif($4, '')::uuid) RETURNING user_id::text`
	return QueryRow[string](p, query, email, string(hash), role, tenant)
}

// Token is the answer to a login.
type Token struct {
	Token     string `json:"token"`
	TokenType string `json:"token_type"`
	ExpiresAt string `json:"expires_at"`
	User      struct {
		ID       string  `json:"id"`
		Email    string  `json:"email"`
		Role     string  `json:"role"`
		TenantID *string `json:"tenant_id"`
	} `json:"user"`
}

// Login logs a user of AddUser in.
func (c *Client) Login(email string) Token {
	c.t.Helper()
	var token Token
	c.Want(http.StatusOK, &token, "POST", "/api/login", map[string]string{"email": email, "password": Password})
	require.Equal(c.t, "Bearer", token.TokenType)
	require.NotEmpty(c.t, token.Token)
	return token
}

// LoggedIn returns a client that calls as a user of AddUser.
func (c *Client) LoggedIn(email string) *Client {
	c.t.Helper()
	return c.As("Bearer " + c.Login(email).Token)
}
