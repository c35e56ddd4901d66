package explain

import (
	"fmt"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/digits"
)

// waitForIt is the help for what ends by itself.
const waitForIt = "Nothing is lost, and it goes on by itself."

// help is what a caller who may change the tenant can do, or whom another one has to
// ask.
func (f sentences) help(do string) string {
	if f.caller.MayManage(&f.tenant) {
		return do
	}
	return "Ask the tenant's owner, or an admin: " + do
}

// operators is what those can do who run the service; others have to ask them.
func (f sentences) operators(do string) string {
	if f.caller.IsAdmin() {
		return do
	}
	return "Ask those who run the service. " + waitForIt
}

// internal is text that is for those who run the service; "" for others.
func (f sentences) internal(text string) string {
	if f.caller.IsAdmin() && text != "" {
		return ": " + text
	}
	return ""
}

// stop returns a cause that stops something, with what waits for it.
func (f sentences) stop(kind domain.CauseKind, since time.Time, sentence, help string) domain.Cause {
	return domain.Cause{
		Kind: kind, Stops: true, Sentence: sentence, Help: help, Since: since,
		CauseData: domain.CauseData{Waiting: f.waiting(), Rate: -1},
	}
}

func (f sentences) flowsSentence(e *domain.Explanation) string {
	stored := ", nothing was stored yet"
	switch {
	case f.progressErr != nil:
		stored = ""
	case !f.progress.LastAt.IsZero():
		stored = ", last stored " + span(f.now.Sub(f.progress.LastAt)) + " ago"
	}
	waiting := "an unknown number waiting"
	if e.Backlog >= 0 {
		waiting = digits.Grouped(e.Backlog) + " waiting" + soon(", all stored ", e.Expected)
	}
	speed := ""
	if e.Rate >= 0 {
		speed = perSecond(e.Rate) + " messages a second, "
	}
	sentence := fmt.Sprintf("Flows: %s%s, %d of %d workers busy%s.", speed, waiting, f.consumer.Busy, f.consumer.Workers, stored)
	if len(e.Causes) > 0 && e.Causes[0].Kind != domain.CauseBacklog {
		sentence += " " + e.Causes[0].Sentence
	}
	return sentence
}

func (f sentences) provisioning() domain.Cause {
	t := &f.tenant
	return f.stop(domain.CauseProvisioning, t.CreatedAt,
		"The tenant is being made"+f.since(t.CreatedAt)+"; until its queue and its partition are there nothing is accepted.",
		f.operators("After 30 seconds, look at /readyz and run `lanekeeper doctor`: the broker or the database may be away."))
}

func (f sentences) inactive() domain.Cause {
	return f.done(f.known.Inactive, domain.CauseInactive, f.help(fmt.Sprintf(`PATCH /tenants/%s {"status":"active"}`, f.tenant.ID)),
		"The tenant was made inactive%s: nothing is accepted or stored, and %s.")
}

func (f sentences) stopped() domain.Cause {
	return f.done(f.known.Stopped, domain.CauseStopped, f.help("lanekeeper tenants start "+f.tenant.ID.String()),
		"The consumer was stopped%s: %s to be stored, and publishing goes on.")
}

// done is what somebody did by which messages stand. The format has places for by whom and
// when, as far as that is known and may be told, and for how many messages wait.
func (f sentences) done(deed *domain.Deed, kind domain.CauseKind, help, format string) domain.Cause {
	c := f.stop(kind, time.Time{}, "", help)
	c.By = f.mayTell(deed)
	said := who(c.By)
	if deed != nil {
		c.Since = deed.At
		said += " " + f.at(deed.At)
	}
	c.Sentence = fmt.Sprintf(format, said, wait(f.waiting()))
	return c
}

func (f sentences) databaseAway() domain.Cause {
	var since time.Time
	switch {
	case f.consumer.Store.Kind == domain.StoreAway:
		since = f.consumer.Store.Since
	case f.consumer.State == domain.ConsumerWaitingForStore:
		since = f.consumer.Since
	}
	from := ""
	if f.databaseErr == nil && f.consumer.Replica != "" && f.caller.IsAdmin() {
		from = " for the replica " + f.consumer.Replica
	}
	return f.stop(domain.CauseDatabaseAway, since,
		fmt.Sprintf("The database does not answer%s%s: nothing is stored, and %s; publishing goes on.", from, f.since(since), wait(f.waiting())),
		f.operators("Look at PostgreSQL, and at the network to it. "+waitForIt))
}

func (f sentences) storeRefuses() domain.Cause {
	s := &f.consumer.Store
	return f.stop(domain.CauseStoreRefuses, s.Since,
		fmt.Sprintf("The database answers and takes nothing%s: its disk may be full, it may be read-only, or wait for a standby; %s.", f.since(s.Since), wait(f.waiting())),
		f.operators("The log of the service says what PostgreSQL refuses (`store unavailable`, `tenant parked by the writer`). "+waitForIt))
}

func (f sentences) partitionLocked() domain.Cause {
	since := f.consumer.Store.Since
	holder, help := "another session of the database", "Ask those who run the database to end that transaction. "+waitForIt
	var shown []domain.LockHolder
	if len(f.locks) > 0 && since.IsZero() {
		since = f.locks[0].Since
	}
	if f.caller.IsAdmin() {
		shown = f.locks
		if len(shown) > 0 {
			holder = f.session(&shown[0])
			help = fmt.Sprintf("End its transaction, or end it: SELECT pg_terminate_backend(%d). %s", shown[0].PID, waitForIt)
		}
	}
	c := f.stop(domain.CausePartitionLocked, since,
		fmt.Sprintf("The tenant's partition is locked%s by %s: nothing is stored, and %s.", f.since(since), holder, wait(f.waiting())), help)
	c.Sessions = shown
	return c
}

// session writes which session of the database it is.
func (f sentences) session(h *domain.LockHolder) string {
	text := fmt.Sprintf("the session with pid %d", h.PID)
	switch {
	case h.User != "" && h.Application != "":
		text += fmt.Sprintf(" (%s, %s)", h.User, h.Application)
	case h.User != "":
		text += fmt.Sprintf(" (%s)", h.User)
	}
	if h.State != "" {
		text += ", " + h.State
	}
	if !h.Since.IsZero() {
		text += ", in a transaction for " + span(f.now.Sub(h.Since))
	}
	return text
}

func (f sentences) partitionMissing() domain.Cause {
	s := &f.consumer.Store
	return f.stop(domain.CausePartitionMissing, s.Since,
		fmt.Sprintf("The tenant's partition is missing, or behind its history%s: %s.", f.since(s.Since), wait(f.waiting())),
		f.operators("The service makes it again within seconds; if not, `lanekeeper doctor --fix` does."))
}

func (f sentences) brokerAway() domain.Cause {
	state := "cannot be reached"
	if !f.broker.Away {
		state = "does not answer"
	}
	var since time.Time
	if f.consumer.State == domain.ConsumerReconnecting {
		since = f.consumer.Since
	}
	waiting := "how many messages wait is not known"
	if n, known := f.backlog(); known {
		waiting = wait(n) + ", as last seen"
	}
	return f.stop(domain.CauseBrokerAway, since,
		fmt.Sprintf("The message broker %s%s: nothing is accepted or stored; %s.", state, f.since(since), waiting),
		f.operators("Look at RabbitMQ, and at the network to it. What was accepted is kept there, and it goes on by itself."))
}

func (f sentences) brokerBlocked() domain.Cause {
	return f.stop(domain.CauseBrokerBlocked, time.Time{},
		"The message broker takes no publications, because it is short of disk or memory; what waits goes on being stored.",
		f.operators("Give RabbitMQ room: `rabbitmq-diagnostics alarms` says of what. Callers get 503 until then."))
}

func (f sentences) queueSilent() domain.Cause {
	return f.stop(domain.CauseQueueSilent, time.Time{},
		"The tenant's queue does not answer, while the broker does: its leader may be gone, or the queue is stuck.",
		f.operators(fmt.Sprintf("`rabbitmq-queues quorum_status tenant_%s_queue` says who leads it; `lanekeeper doctor` whether it works.", f.tenant.ID)))
}

func (f sentences) noQueue() domain.Cause {
	c := f.stop(domain.CauseQueueMissing, f.stateSince(domain.ConsumerFailed),
		"The tenant's queue does not exist, or does not work; the service is making it again.",
		f.operators("If it is not there in 30 seconds, run `lanekeeper doctor --fix`. What was in a queue that somebody deleted is gone."))
	c.Error = f.shownError()
	return c
}

// stateSince returns since when the consumer is in its state, if it is in that one.
func (f sentences) stateSince(s domain.ConsumerState) time.Time {
	if f.consumer.State == s {
		return f.consumer.Since
	}
	return time.Time{}
}

// shownError is what went wrong last, for those who run the service.
func (f sentences) shownError() string {
	if f.caller.IsAdmin() {
		return f.consumer.LastError
	}
	return ""
}

// unconsumed returns a cause by which the queue has no consumer.
func (f sentences) unconsumed(kind domain.CauseKind, sentence, help string) domain.Cause {
	c := f.stop(kind, f.consumer.Since, sentence, help)
	c.State, c.Error = f.consumer.State, f.shownError()
	if f.caller.IsAdmin() {
		c.Replica = f.consumer.Replica
	}
	return c
}

func (f sentences) consumerStarting() domain.Cause {
	if f.consumer.Replica == "" {
		return f.unconsumed(domain.CauseConsumerStarting, fmt.Sprintf("No replica consumes the tenant yet: %s.", wait(f.waiting())),
			f.operators("A replica takes it within 15 seconds. If not: GET /consumers, and the logs of the replicas."))
	}
	return f.unconsumed(domain.CauseConsumerStarting, fmt.Sprintf("The consumer is starting%s: %s.", f.since(f.consumer.Since), wait(f.waiting())),
		f.operators("After a minute, look at the log of its replica"+f.internal(f.consumer.Replica)+"."))
}

func (f sentences) consumerMoving() domain.Cause {
	return f.unconsumed(domain.CauseConsumerMoving,
		fmt.Sprintf("The consumer finishes what it began and then moves, or begins anew%s: %s.", f.since(f.consumer.Since), wait(f.waiting())), waitForIt)
}

func (f sentences) consumerRefused() domain.Cause {
	return f.unconsumed(domain.CauseConsumerRefused,
		fmt.Sprintf("The broker does not let the consumer subscribe%s, because a limit set there is reached: %s.", f.since(f.consumer.Since), wait(f.waiting())),
		f.operators("Raise the broker's limit of connections or channels (vhost, user, channel_max), or delete tenants. "+waitForIt))
}

func (f sentences) consumerLost() domain.Cause {
	return f.unconsumed(domain.CauseConsumerLost,
		fmt.Sprintf("The consumer has no subscription%s and tries again%s; %s.", f.since(f.consumer.Since), f.internal(f.consumer.LastError), wait(f.waiting())),
		f.operators("If it goes on for a minute, look at the broker's log for this tenant's queue."))
}

func (f sentences) consumerForgotten() domain.Cause {
	if f.consumer.Replica != f.replica {
		return f.replicaGone("seems to be gone, for its queue has no consumer")
	}
	return f.unconsumed(domain.CauseConsumerForgotten,
		fmt.Sprintf("The broker has forgotten the consumer: the queue has none, and %s. The service notices within 10 seconds of a publication, or within 40, and subscribes again.", wait(f.waiting())),
		f.help(fmt.Sprintf("If it does not: lanekeeper tenants stop %[1]s && lanekeeper tenants start %[1]s", f.tenant.ID)))
}

// replicaGone returns the cause that the replica which consumes the tenant cannot, by
// which one sees that.
func (f sentences) replicaGone(sign string) domain.Cause {
	name := ""
	if f.caller.IsAdmin() {
		name = " (" + f.consumer.Replica + ")"
	}
	return f.unconsumed(domain.CauseConsumerStarting,
		fmt.Sprintf("The replica that consumes the tenant%s %s: %s.", name, sign, wait(f.waiting())),
		f.operators("Another one takes it within 15 seconds. If not: GET /consumers, and the logs of the replicas."))
}

func (f sentences) consumerUnknown() domain.Cause {
	return f.unconsumed(domain.CauseConsumerUnknown, "Another replica consumes the tenant, and what it reports cannot be read at the moment.",
		f.operators("Ask that replica, or try again: the database may be slow."))
}

func (f sentences) unreadable() domain.Cause {
	return f.unconsumed(domain.CauseUnreadable,
		fmt.Sprintf("The connection ends each time the first messages of the queue are delivered%s: one of them can probably not be read; %s.", f.since(f.consumer.Since), wait(f.waiting())),
		f.operators("The tenant has a connection of its own, so no other one suffers. Take the message out of the queue, by the broker's management."))
}

func (f sentences) stalled() domain.Cause {
	last := "nothing was stored before"
	if !f.progress.LastAt.IsZero() {
		last = "the last one was stored " + f.at(f.progress.LastAt)
	}
	return f.unconsumed(domain.CauseStalled,
		fmt.Sprintf("%s and none is stored, although the consumer runs; %s. Nothing that is known explains it.", capital(wait(f.waiting())), last),
		f.help(fmt.Sprintf("lanekeeper tenants stop %[1]s && lanekeeper tenants start %[1]s makes the subscription anew; then those who run the service should look at its log.", f.tenant.ID)))
}

func (f sentences) draining() domain.Cause {
	waiting, rate := f.waiting(), f.rate()
	c := domain.Cause{Kind: domain.CauseBacklog, Since: time.Time{}, CauseData: domain.CauseData{Waiting: waiting, Rate: rate, Expected: f.expected(waiting)}}
	c.Sentence = capital(wait(waiting)) + " to be stored."
	if c.Expected > 0 {
		c.Sentence = fmt.Sprintf("%s to be stored, at %s a second: the last one%s.", capital(wait(waiting)), perSecond(rate), soon(" ", c.Expected))
	}
	const muchLater = 10 * time.Second
	if c.Expected > muchLater && f.consumer.Busy >= f.consumer.Workers && f.consumer.Workers < domain.MaxWorkers {
		c.Help = f.help(fmt.Sprintf("All %d workers are busy; more may help: lanekeeper tenants resize %s %d", f.consumer.Workers, f.tenant.ID, min(domain.MaxWorkers, 2*f.consumer.Workers)))
	}
	return c
}

// refused returns the cause that publishing is limited.
func (f sentences) refused(refusal *domain.Error) domain.Cause {
	c := domain.Cause{Stops: true, Sentence: refusal.Message, CauseData: domain.CauseData{Waiting: f.waiting(), Rate: -1, Reason: refusal.Code}}
	c.Sentence = "Publishing is refused: " + refusal.Message
	switch {
	case len(refusal.Fields) > 0: // the name of a limit of the owner
		c.Kind = domain.CauseQuotaExceeded
		c.Reason = refusal.Fields[0].Pointer
		c.Help = f.operators("Let what waits be stored, or raise the owner's limit: PATCH /users/{id} {\"limits\":{...}}, or limits.* in the configuration.")
	case refusal.Is(domain.ErrBacklogFull):
		c.Kind, c.Help = domain.CauseBacklogFull, f.operators("Let what waits be stored, or raise max_backlog in the configuration.")
	default:
		c.Kind, c.Help = domain.CauseRateExceeded, "Publish more slowly, and wait for Retry-After; publish_rate in the configuration is the limit."
	}
	return c
}

func (f sentences) policy(q *domain.ShortenedQueue) domain.Cause {
	c := domain.Cause{Kind: domain.CauseQueuePolicy, CauseData: domain.CauseData{Waiting: f.waiting(), Rate: -1}}
	if !f.caller.IsAdmin() {
		c.Sentence = "A policy of the message broker makes messages of the tenant go away before they are stored or looked at."
		c.Help = f.operators("")
		return c
	}
	c.Policy, c.Setting, c.Value = q.Policy, q.Setting, q.Value
	c.Sentence = fmt.Sprintf("The policy %s of the broker sets %s to %s for the queue %s: messages there may go away before they are stored or looked at.", q.Policy, q.Setting, q.Value, q.Queue)
	c.Help = fmt.Sprintf("Take it back, or have its pattern leave out tenant_*: rabbitmqctl clear_policy %q, or clear_operator_policy.", q.Policy)
	return c
}
