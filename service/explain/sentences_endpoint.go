package explain

import (
	"fmt"

	"lanekeeper/domain"
	"lanekeeper/pkg/digits"
)

// endpointSentences is sentences about deliveries to endpoints.
type endpointSentences struct{ sentences }

// ofEndpoint returns a cause about an endpoint, with how many messages wait for it.
func ofEndpoint(kind domain.CauseKind, e *domain.EndpointFacts, stops bool) domain.Cause {
	return domain.Cause{Kind: kind, Stops: stops, CauseData: domain.CauseData{EndpointID: e.Endpoint.ID, Waiting: e.Progress.Lag(), Rate: -1}}
}

// withFailure adds the delivery that failed.
func withFailure(c domain.Cause, e *domain.EndpointFacts) domain.Cause {
	d := &e.Failed
	c.MessageID, c.Seq, c.OrderingKey = d.MessageID, d.Seq, d.OrderingKey
	c.Attempts, c.LastStatus, c.Error, c.NextAt = d.Attempts, d.LastStatus, d.LastError, e.FailedNext
	if e.Endpoint.Ordering != domain.OrderingFIFO || e.Endpoint.OnFailure == domain.FailureSkips {
		c.MaxAttempts = attempts(&e.Endpoint)
	}
	return c
}

// command writes a command about an endpoint.
func (f endpointSentences) command(what string, e *domain.Endpoint) string {
	return fmt.Sprintf("lanekeeper endpoints %s -t %s %s", what, f.tenant.ID, e.ID)
}

// times writes how often something was tried, and what was answered last.
func times(n, status int, failure string) string {
	text := "once"
	if n != 1 {
		text = digits.Grouped(int64(n)) + " times"
	}
	if why := answer(status, failure); why != "" {
		text += " (last: " + why + ")"
	}
	return text
}

// answer writes what an endpoint answered.
func answer(status int, failure string) string {
	if status != 0 {
		return fmt.Sprintf("status %d", status)
	}
	return failure
}

func (f endpointSentences) endpointsUnknown() domain.Cause {
	return domain.Cause{
		Kind: domain.CauseEndpointsUnchecked, CauseData: domain.CauseData{Rate: -1},
		Sentence: "How far deliveries to endpoints are could not be read in time: the database is busy, or something is locked.",
		Help:     "Try again in a few seconds.",
	}
}

func (f endpointSentences) endpointDisabled(e *domain.EndpointFacts) domain.Cause {
	c := ofEndpoint(domain.CauseEndpointDisabled, e, true)
	c.Since, c.Reason = e.Endpoint.UpdatedAt, e.Endpoint.StatusReason
	why := ""
	if c.Reason != "" {
		why = " (" + c.Reason + ")"
	}
	c.Sentence = fmt.Sprintf("The endpoint %s is disabled%s%s: %s for it, and nothing is given up.", place(&e.Endpoint), f.since(c.Since), why, wait(c.Waiting))
	c.Help = f.help("Mend the endpoint, then " + f.command("resume", &e.Endpoint) + "; it goes on where it stopped.")
	return c
}

func (f endpointSentences) endpointHeld(e *domain.EndpointFacts) domain.Cause {
	c := ofEndpoint(domain.CauseEndpointHeld, e, true)
	when := ""
	if d, known := f.known.Held[e.Endpoint.ID]; known {
		c.By, c.Since, when = f.mayTell(&d), d.At, " "+f.at(d.At)
	}
	c.Sentence = fmt.Sprintf("The endpoint %s was held%s%s: %s for it, and nothing is given up.", place(&e.Endpoint), who(c.By), when, wait(c.Waiting))
	c.Help = f.help(f.command("resume", &e.Endpoint))
	return c
}

func (f endpointSentences) nobodyDelivers(e *domain.EndpointFacts) domain.Cause {
	c := ofEndpoint(domain.CauseNobodyDelivers, e, true)
	c.Sentence = fmt.Sprintf("No replica delivers to the endpoint %s at the moment: %s for it.", place(&e.Endpoint), wait(c.Waiting))
	c.Help = f.operators("One takes it within 15 seconds. If not, look at the logs of the replicas.")
	return c
}

func (f endpointSentences) breakerOpen(e *domain.EndpointFacts) domain.Cause {
	c := withFailure(ofEndpoint(domain.CauseBreakerOpen, e, true), e)
	c.Since = e.Progress.Health.BreakerOpenedAt
	if e.LastError != "" {
		c.LastStatus, c.Error = e.LastStatus, e.LastError
	}
	last := ""
	if why := answer(c.LastStatus, c.Error); why != "" {
		last = ", the last attempt with " + why
	}
	c.Sentence = fmt.Sprintf("The endpoint %s fails: its breaker is open%s%s; %s, one is tried every %s, and nothing is given up.",
		place(&e.Endpoint), f.since(c.Since), last, wait(c.Waiting), span(f.probeEvery))
	c.Help = f.help("Mend the endpoint; " + f.command("test", &e.Endpoint) + " says whether it answers. The breaker closes with the next success.")
	return c
}

func (f endpointSentences) orderBlocked(e *domain.EndpointFacts) domain.Cause {
	c := withFailure(ofEndpoint(domain.CauseOrderBlocked, e, true), e)
	c.Sentence = fmt.Sprintf("Message %s (%s) blocks the endpoint %s: it failed %s and is tried again %s; %s behind it.",
		digits.Grouped(c.Seq), c.MessageID, place(&e.Endpoint), times(c.Attempts, c.LastStatus, c.Error), f.next(c.NextAt), wait(max(0, c.Waiting-1)))
	c.Help = f.help("Mend the endpoint, or give that message up: " + f.command("skip", &e.Endpoint))
	return c
}

func (f endpointSentences) keyBlocked(e *domain.EndpointFacts) domain.Cause {
	c := withFailure(ofEndpoint(domain.CauseKeyBlocked, e, true), e)
	c.Waiting = f.behindKeys(e)
	c.Sentence = fmt.Sprintf("Message %s (%s) of the ordering key %q failed at the endpoint %s %s and is tried again %s; %s behind it and others of their keys.",
		digits.Grouped(c.Seq), c.MessageID, c.OrderingKey, place(&e.Endpoint), times(c.Attempts, c.LastStatus, c.Error), f.next(c.NextAt), wait(c.Waiting))
	if e.Progress.Health.ReadingStopped {
		c.Sentence += " There are so many that nothing new is read for it."
	}
	c.Help = f.help("Mend the endpoint; other keys go on. The message is given up after its last attempt.")
	return c
}

func (f endpointSentences) endpointRetrying(e *domain.EndpointFacts) domain.Cause {
	c := withFailure(ofEndpoint(domain.CauseEndpointRetrying, e, false), e)
	c.Sentence = fmt.Sprintf("%s for another attempt at the endpoint %s; the oldest is message %s, which failed %s, attempt %d of %d is %s.",
		capital(wait(e.Progress.Open)), place(&e.Endpoint), digits.Grouped(c.Seq), times(c.Attempts, c.LastStatus, c.Error), min(c.Attempts+1, attempts(&e.Endpoint)), attempts(&e.Endpoint), f.next(c.NextAt))
	c.Help = f.help("Mend the endpoint; " + f.command("attempts", &e.Endpoint) + " shows what it answered.")
	return c
}

func (f endpointSentences) endpointLimited(e *domain.EndpointFacts) domain.Cause {
	c := ofEndpoint(domain.CauseEndpointRate, e, false)
	c.Rate = float64(e.Endpoint.Rate)
	c.Expected = expected(c.Waiting, c.Rate)
	c.Sentence = fmt.Sprintf("The endpoint %s gets at most %s messages a second, as it is set: %s%s.",
		place(&e.Endpoint), digits.Grouped(int64(e.Endpoint.Rate)), wait(c.Waiting), soon(", the last one arrives ", c.Expected))
	c.Help = f.help(fmt.Sprintf(`If it can take more: PATCH /tenants/%s/endpoints/%s {"rate":%d}`, f.tenant.ID, e.Endpoint.ID, min(domain.MaxEndpointRate, 2*e.Endpoint.Rate)))
	return c
}

func (f endpointSentences) endpointBehind(e *domain.EndpointFacts) domain.Cause {
	c := ofEndpoint(domain.CauseEndpointBehind, e, false)
	rate := deliveryRate(e)
	if rate == 0 {
		c.Sentence = fmt.Sprintf("The endpoint %s is %s behind, and none arrived in the last %s.", place(&e.Endpoint), messages(c.Waiting), span(domain.DeliveredWithin))
		c.Help = f.help(f.command("attempts", &e.Endpoint) + " shows what it answered.")
		return c
	}
	c.Rate, c.Expected = rate, expected(c.Waiting, rate)
	c.Sentence = fmt.Sprintf("The endpoint %s is %s behind and takes %s a second: the last one arrives%s.",
		place(&e.Endpoint), messages(c.Waiting), perSecond(rate), soon(" ", c.Expected))
	c.Help = f.help("A faster endpoint, or a higher concurrency of it, helps: " + f.command("update", &e.Endpoint) + " --concurrency N")
	return c
}

// due returns what there is to say of a message that is under way to an endpoint or
// about to be.
func (f endpointSentences) due(e *domain.EndpointFacts, w *domain.MessageWay) domain.Cause {
	c := ofEndpoint(domain.CauseDue, e, false)
	c.Attempts, c.MaxAttempts, c.NextAt = w.Attempts, attempts(&e.Endpoint), w.NextAt
	c.Sentence = fmt.Sprintf("Its first attempt at the endpoint %s is due %s, or under way.", place(&e.Endpoint), f.next(w.NextAt))
	return c
}

func (f endpointSentences) retried(e *domain.EndpointFacts, w *domain.MessageWay) domain.Cause {
	c := ofEndpoint(domain.CauseEndpointRetrying, e, false)
	c.Attempts, c.MaxAttempts, c.LastStatus, c.Error, c.NextAt = w.Attempts, attempts(&e.Endpoint), w.LastStatus, w.LastError, w.NextAt
	c.Sentence = fmt.Sprintf("It failed at the endpoint %s %s; attempt %d of %d is %s.",
		place(&e.Endpoint), times(w.Attempts, w.LastStatus, w.LastError), min(w.Attempts+1, c.MaxAttempts), c.MaxAttempts, f.next(w.NextAt))
	c.Help = f.help(fmt.Sprintf("Mend the endpoint; POST /messages/{id}/endpoints/%s/resend tries it at once.", e.Endpoint.ID))
	return c
}

func (f endpointSentences) delivered(e *domain.EndpointFacts, w *domain.MessageWay) domain.Cause {
	c := ofEndpoint(domain.CauseDelivered, e, false)
	c.Waiting, c.Since, c.Attempts, c.LastStatus = 0, w.DeliveredAt, w.Recorded, w.LastStatus
	c.Sentence = fmt.Sprintf("Delivered to %s %s, with attempt %d.", place(&e.Endpoint), f.at(w.DeliveredAt), w.Recorded)
	return c
}

func (f endpointSentences) givenUp(e *domain.EndpointFacts, w *domain.MessageWay) domain.Cause {
	c := ofEndpoint(domain.CauseGivenUp, e, true)
	c.Waiting, c.Since, c.Attempts, c.LastStatus, c.Error, c.LetterID = 0, w.LetterAt, w.LetterAttempts, w.LastStatus, w.LetterError, w.Letter
	c.Sentence = fmt.Sprintf("Given up for the endpoint %s %s after %s (last: %s); it is the dead letter %d.",
		place(&e.Endpoint), f.at(w.LetterAt), plural(w.LetterAttempts, "attempt"), w.LetterError, w.Letter)
	c.Help = f.help(fmt.Sprintf("Mend the endpoint, then lanekeeper dead-letters replay -t %s %d", f.tenant.ID, w.Letter))
	return c
}

func (f endpointSentences) notMeant(e *domain.EndpointFacts, messageType string) domain.Cause {
	c := ofEndpoint(domain.CauseNotMeant, e, false)
	c.Waiting = 0
	of := fmt.Sprintf("its type is %q", messageType)
	if messageType == "" {
		of = "it has no type"
	}
	c.Sentence = fmt.Sprintf("Not meant for the endpoint %s: %s, and the endpoint gets %v.", place(&e.Endpoint), of, e.Endpoint.Types)
	return c
}

func (f endpointSentences) passed(e *domain.EndpointFacts) domain.Cause {
	c := ofEndpoint(domain.CausePassed, e, false)
	c.Waiting = 0
	c.Sentence = fmt.Sprintf("The endpoint %s has passed it, and no attempt is on record: it was delivered and the record is not kept, or it was stored before the endpoint began.", place(&e.Endpoint))
	return c
}

// keyBehind returns the cause that a message waits for another one of its key.
func (f endpointSentences) keyBehind(e *domain.EndpointFacts, w *domain.MessageWay) domain.Cause {
	c := ofEndpoint(domain.CauseKeyBlocked, e, true)
	b := &w.Before
	c.MessageID, c.Seq, c.OrderingKey = b.MessageID, b.Seq, f.wanted.OrderingKey
	c.Attempts, c.LastStatus, c.Error, c.NextAt = b.Attempts, b.LastStatus, b.LastError, w.BeforeNext
	state := "which is under way"
	if b.Attempts > 0 {
		state = fmt.Sprintf("which failed %s and is tried again %s", times(b.Attempts, b.LastStatus, b.LastError), f.next(w.BeforeNext))
	}
	c.Sentence = fmt.Sprintf("It waits at the endpoint %s behind message %s (%s) of its ordering key %q, %s.",
		place(&e.Endpoint), digits.Grouped(b.Seq), b.MessageID, c.OrderingKey, state)
	c.Help = f.help("Mend the endpoint; the message before it is given up after its last attempt, and then this one is tried.")
	return c
}

// behind returns the cause that an endpoint has not got as far as a message.
func (f endpointSentences) behind(e *domain.EndpointFacts, seq int64) domain.Cause {
	c := ofEndpoint(domain.CauseEndpointBehind, e, false)
	c.Waiting = seq - e.Progress.Settled
	c.Rate = deliveryRate(e)
	if e.Endpoint.Rate > 0 && (c.Rate == 0 || c.Rate > float64(e.Endpoint.Rate)) {
		c.Rate = float64(e.Endpoint.Rate)
	}
	if c.Expected = expected(c.Waiting, c.Rate); c.Rate == 0 {
		c.Rate = -1
	}
	c.Sentence = fmt.Sprintf("The endpoint %s has not got as far: %s up to this one%s.", place(&e.Endpoint), wait(c.Waiting), soon(", which arrives ", c.Expected))
	return c
}

// plural writes how many of something there are.
func plural(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%s %ss", digits.Grouped(int64(n)), of)
}
