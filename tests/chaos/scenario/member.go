package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
)

// password is that of every user of the scenarios.
const password = "correct horse battery"

// member is a user with a token, whose tenants are its own and limited. It calls from
// where those come from that disturb.
type member struct {
	*load.Client

	account load.Account
	id      string
}

func newMember(ctx context.Context, t *trial, name string) (*member, error) {
	m := &member{account: load.Account{Email: name + "@example.com", Password: password}}
	if err := t.client.AddUser(ctx, m.account, "member"); err != nil {
		return nil, err
	}
	var err error
	if m.Client, err = t.client.From(fault.Address).LoggedIn(ctx, m.account); err != nil {
		return nil, err
	}
	var me struct{ User struct{ ID string } }
	r := m.Call(ctx, http.MethodGet, "/api/me", "", "", nil)
	if r.Err == nil && r.Status == http.StatusOK {
		err = json.Unmarshal(r.Body, &me)
	}
	if m.id = me.User.ID; m.id == "" || err != nil {
		return nil, errors.Join(fmt.Errorf("%w: who am I: %s", load.ErrUnexpected, r.Text()), r.Err, err)
	}
	return m, nil
}

// overQuota reports whether a call was refused because of a limit of its owner.
func overQuota(r load.Reply) bool {
	return r.Err == nil && r.Status == http.StatusTooManyRequests && r.Problem().Code == "quota_exceeded" && r.Header.Get("Retry-After") != ""
}
