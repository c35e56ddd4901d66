package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/google/uuid"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/httpconn"
	"lanekeeper/pkg/shares"
	"lanekeeper/service/tenant"
)

// What a process shares out: connections by the addresses they come from, memory
// for the bodies of requests and for large answers by the owner; and how many
// tenants the broker has room for.

const (
	// connectionsOfFiles is the part of the files that this process may have
	// open that connections to it may use; the rest is for those it opens.
	connectionsOfFiles = 0.75
	// shareOfAddress is the part of the connections that one address may have.
	shareOfAddress = 0.25
	// fewestConnections is what a limit is never below.
	fewestConnections = 16
)

// newCapacity returns what knows how many tenants the broker has room for.
// Replicas returns how many processes share it; nil means this one alone. Room
// asks for the broker's other limits; it may be nil.
func newCapacity(c config.Config, count func(context.Context) (int, error), replicas func() int, room func(context.Context) error) *tenant.Capacity {
	options := brokerOptions(c)
	return tenant.NewCapacity(tenant.CapacityOptions{
		FileLimit: c.RabbitMQ.FileLimit, Footprint: options.Footprint(), Count: count, Replicas: replicas, Room: room,
	})
}

// newConnections returns what keeps the connections of the API within what the
// configuration says, or else within the limit of open files. Secure is nil where
// there is no TLS.
func newConnections(c config.Config, secure *tls.Config, events *connectionEvents, refused refusals) *httpconn.Connections {
	limit := c.Limits.Connections
	if limit == 0 {
		limit = max(fewestConnections, int(connectionsOfFiles*float64(fileLimit())))
	}
	perAddress := c.Limits.ConnectionsPerAddress
	if perAddress == 0 {
		perAddress = max(fewestConnections/4, int(shareOfAddress*float64(limit)))
	}
	return httpconn.New(httpconn.Options{
		Limit: limit, PerAddress: perAddress, Exempt: networks(c.TrustedProxies), TLS: secure,
		Ended: events.ended, Refusal: refused.body,
	})
}

// ownerLimits returns the shares of owners for whom no others are set.
func ownerLimits(c config.Config) domain.Limits {
	return domain.Limits{
		Tenants: c.Limits.Tenants, TenantsPerMinute: c.Limits.TenantsPerMinute, Workers: c.Limits.Workers,
		EndpointsPerTenant: c.Limits.EndpointsPerTenant, Streams: c.Limits.Streams,
		BacklogMiB: c.Limits.BacklogMiB, BacklogMiBPerTenant: c.Limits.BacklogMiBPerTenant,
		PublishRate: c.Limits.PublishRate,
	}
}

// streamLimit returns how many streams the owner of a tenant may have.
func streamLimit(ctx context.Context, tenants *tenant.Directory, limits domain.LimitFinder, tenantID uuid.UUID) int {
	t, err := tenants.Lookup(ctx, tenantID)
	if err != nil {
		return 0 // the stream will be refused
	}
	return limits.LimitsOf(ctx, t.OwnerID).Streams
}

// shareOfOwner is the part of the memory for bodies that one owner may have.
const shareOfOwner = 4

// newBodies returns the memory that bodies of requests share.
func newBodies(c config.Config) *shares.Shares {
	total := int64(c.Limits.BodyMemory) << 20
	share := total / shareOfOwner
	return shares.New(shares.Options{Total: total, PerOwner: share, PerUser: share})
}

// mostFiles is taken for a limit that is none.
const mostFiles = 1 << 24

// fileLimit returns how many files this process may have open.
func fileLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what it is nearly everywhere by default
	}
	return int(min(limit.Cur, mostFiles))
}

// networks returns those of a list that was checked before.
func networks(list []string) []netip.Prefix {
	var found []netip.Prefix
	for _, text := range list {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			found = append(found, prefix)
		} else if addr, err := netip.ParseAddr(text); err == nil {
			found = append(found, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return found
}

const (
	// answerBytes is what large answers on their way to their clients hold
	// together; a quarter of that for one owner, and half of that for one tenant.
	answerBytes = 64 << 20
	// answerWait is how long an answer waits for others of its tenant or owner,
	// and answerQueue how many of a tenant may do so at a time.
	answerWait  = 2 * time.Second
	answerQueue = 1000
	answerRetry = 2 * time.Second
)

// answerMemory implements domain.AnswerMemory.
type answerMemory struct{ shares *shares.Shares }

func newAnswerMemory() answerMemory {
	return answerMemory{shares.New(shares.Options{
		Total: answerBytes, PerOwner: answerBytes / 4, PerUser: answerBytes / 8, Wait: answerWait, Queue: answerQueue,
	})}
}

// Reserve implements domain.AnswerMemory.
func (m answerMemory) Reserve(ctx context.Context, tenantID uuid.UUID, bytes int) (func(), error) {
	by := shares.User{Owner: domain.Owner(ctx), Name: tenantID.String()}
	if by.Owner == "" {
		by.Owner = by.Name
	}
	part, err := m.shares.Take(ctx, by, int64(bytes))
	switch {
	case errors.Is(err, shares.ErrShare):
		return nil, domain.Wrap(err, domain.ErrUnavailable, "tenant_busy",
			"Too many large answers of this tenant, or of all of its owner, wait for clients to read them; try again shortly.").After(answerRetry)
	case errors.Is(err, shares.ErrAll):
		return nil, domain.Wrap(err, domain.ErrUnavailable, "answers_busy",
			"Too many large answers wait for clients to read them; try again shortly.").After(answerRetry)
	case err != nil:
		return nil, fmt.Errorf("wait for memory: %w", err)
	}
	return part.GiveBack, nil
}
