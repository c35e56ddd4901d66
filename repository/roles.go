package repository

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rolesPatience is how long a call waits until it is known as whom the service acts,
// which is part of preparing the database.
const rolesPatience = 4 * time.Second

var errNotPrepared = errors.New("the database is not prepared yet")

// Roles are the names of the database's roles as which the service acts, whoever logs
// in: they own nothing, so that row-level security holds for them. The zero value is
// for a database without it. They are roles of the whole cluster, so two installations
// in one may not want the same.
type Roles struct {
	// App reads and changes the rows of those tenants that a transaction names.
	App string
	// Writer appends messages of any tenant, and reads none.
	Writer string
	// System reads and changes rows of all tenants: those that are asked for before the
	// tenant is known, and those that jobs look for.
	System string
}

func (r Roles) names() []string { return []string{r.App, r.Writer, r.System} }

// roleChoice is the roles, once they are known.
type roleChoice struct {
	// known is closed when roles does not change any more.
	known chan struct{}
	roles Roles
}

// ActAs says as whom a store acts that was opened with Options.AwaitRoles; the zero
// value stands for those who log in. It must be called once at most.
func (s *Store) ActAs(roles Roles) {
	s.choice.roles = roles
	close(s.choice.known)
}

// roles returns as whom the connections act. Whoever has one of a pool that acts as a
// role knows: none is made before.
func (s *Store) roles() Roles {
	if !s.choice.isKnown() {
		return Roles{}
	}
	return s.choice.roles
}

func (c *roleChoice) isKnown() bool {
	select {
	case <-c.known:
		return true
	default:
		return false
	}
}

// wait returns the roles once they are known. The error is one of ClassUnavailable.
func (c *roleChoice) wait(ctx context.Context) (Roles, error) {
	patient, cancel := context.WithTimeout(ctx, rolesPatience)
	defer cancel()
	select {
	case <-c.known:
		return c.roles, nil
	case <-patient.Done():
	}
	if ctx.Err() != nil {
		return Roles{}, fmt.Errorf("wait for the database to be prepared: %w", ctx.Err())
	}
	return Roles{}, unavailable(errNotPrepared)
}

// role returns what postgres.PoolOptions.Role asks for.
func (s *Store) role(pick func(Roles) string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		roles, err := s.choice.wait(ctx)
		return pick(roles), err
	}
}

func actAsApp(r Roles) string    { return r.App }
func actAsWriter(r Roles) string { return r.Writer }
func actAsSystem(r Roles) string { return r.System }
