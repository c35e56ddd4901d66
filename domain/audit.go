package domain

import (
	"context"
	"reflect"
	"time"

	"github.com/google/uuid"
)

// ActorKind says what an actor is.
type ActorKind string

// The kinds of actors.
const (
	ActorUser      ActorKind = "user"      // with a token
	ActorKey       ActorKind = "key"       // with an API key
	ActorPortal    ActorKind = "portal"    // with a portal link
	ActorOpen      ActorKind = "open"      // the built-in admin of open mode
	ActorCommand   ActorKind = "command"   // somebody who runs a command of lanekeeper
	ActorAnonymous ActorKind = "anonymous" // who logs in, or fails to
)

// Actor is who does something.
type Actor struct {
	Kind ActorKind
	// UserID is the user, also whose key, or portal link, it is; KeyID the key. Zero for
	// none.
	UserID, KeyID uuid.UUID
	// LinkID is the portal link, and KeyID zero then: with what a link was made is said
	// where it was made.
	LinkID uuid.UUID
	// Address is where the call came from.
	Address string
}

// WithActor returns a context that carries who does the work. What is changed under
// it is recorded in the audit log; without an actor the service itself does it, and
// nothing is.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey, a)
}

// ActorOf returns who does the work, and whether it is anybody.
func ActorOf(ctx context.Context) (Actor, bool) {
	switch v := ctx.Value(actorKey).(type) {
	case Actor:
		return v, true
	case *Call:
		return v.actor, true
	}
	return Actor{}, false
}

// AuditAction says what was done.
type AuditAction string

// The actions in the audit log.
const (
	AuditTenantCreate   AuditAction = "tenant.create"
	AuditTenantChange   AuditAction = "tenant.change"
	AuditTenantWorkers  AuditAction = "tenant.workers"
	AuditTenantDelete   AuditAction = "tenant.delete"
	AuditConsumerStop   AuditAction = "consumer.stop"
	AuditConsumerStart  AuditAction = "consumer.start"
	AuditAllStop        AuditAction = "consumer.stop_all"
	AuditAllStart       AuditAction = "consumer.start_all"
	AuditEndpointCreate AuditAction = "endpoint.create"
	AuditEndpointChange AuditAction = "endpoint.change"
	AuditEndpointHold   AuditAction = "endpoint.hold"
	AuditEndpointResume AuditAction = "endpoint.resume"
	AuditEndpointRotate AuditAction = "endpoint.rotate_secret"
	AuditEndpointDelete AuditAction = "endpoint.delete"
	AuditReplayStart    AuditAction = "endpoint.replay"
	AuditReplayCancel   AuditAction = "endpoint.replay_cancel"
	AuditLettersReplay  AuditAction = "dead_letters.replay"
	AuditLettersDelete  AuditAction = "dead_letters.delete"
	AuditUserCreate     AuditAction = "user.create"
	AuditUserChange     AuditAction = "user.change"
	AuditUserDelete     AuditAction = "user.delete"
	AuditPassword       AuditAction = "user.password"
	AuditLogout         AuditAction = "user.logout"
	AuditKeyCreate      AuditAction = "api_key.create"
	AuditKeyRevoke      AuditAction = "api_key.revoke"
	AuditAMQPCreate     AuditAction = "amqp_credentials.create"
	AuditAMQPRotate     AuditAction = "amqp_credentials.rotate"
	AuditAMQPRevoke     AuditAction = "amqp_credentials.revoke"
	AuditLinkCreate     AuditAction = "portal_link.create"
	AuditLinksRevoke    AuditAction = "portal_link.revoke"
	AuditLogin          AuditAction = "login"
	AuditLoginFailed    AuditAction = "login.failed"
)

// AuditEntry is a line of the audit log.
type AuditEntry struct {
	// ID and At are given by the store.
	ID        int64
	At        time.Time
	Actor     Actor
	RequestID string
	Action    AuditAction
	// TenantID is the tenant it is about; zero for none.
	TenantID uuid.UUID
	// Target names what was changed, other than the tenant itself; "" for nothing.
	Target string
	// Before and After are the facts that differ, without secrets and payloads.
	Before, After Facts
}

// Facts are what is on record of something, by name.
type Facts map[string]any

// Changes returns the facts that differ.
func Changes(before, after Facts) (was, is Facts) {
	was, is = make(Facts), make(Facts)
	for name, value := range after {
		if old, there := before[name]; !there || !reflect.DeepEqual(old, value) {
			is[name] = value
			if there {
				was[name] = old
			}
		}
	}
	for name, old := range before {
		if _, there := after[name]; !there {
			was[name] = old
		}
	}
	return was, is
}

// AuditQuery asks for lines of the audit log, newest first.
type AuditQuery struct {
	// TenantID, ActorID and Action restrict the answer; zero values do not. An
	// action that ends with a dot stands for all that begin with it.
	TenantID, ActorID uuid.UUID
	Action            string
	// VisibleTo restricts it to what concerns tenants that this user owns, and what
	// it did itself; zero for everything.
	VisibleTo uuid.UUID
	// Before is the id of the last line of the page before; 0 begins at the newest.
	Before int64
	Limit  int
}

// AuditRepository keeps the audit log. Methods are safe for concurrent use. Errors are
// ErrUnavailable while the database is away.
type AuditRepository interface {
	// RecordAudit records what is in no transaction of its own, with the actor and
	// the request of ctx.
	RecordAudit(ctx context.Context, e AuditEntry) error
	ListAudit(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
	// DeleteAudit deletes at most limit lines older than age.
	DeleteAudit(ctx context.Context, age time.Duration, limit int) (int, error)
}
