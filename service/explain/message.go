package explain

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/digits"
)

// message is what is known of the message that was asked for, and what there is to say
// of it.
type message struct{ endpointSentences }

// explainMessage says where a message is.
func (f message) explainMessage(id uuid.UUID) domain.Explanation {
	m := &domain.ExplainedMessage{ID: id, State: domain.MessageUnknown}
	var causes []domain.Cause
	var sentence string
	switch {
	case f.wantedErr != nil:
		sentence = f.unreadSentence()
		causes = f.storing()
	case f.wanted.Seq > 0:
		m.State, m.Seq, m.StoredAt = domain.MessageStored, f.wanted.Seq, f.wanted.StoredAt
		causes = f.ways()
		sentence = f.storedSentence(causes)
	case f.wanted.Letter != nil && !f.wanted.Letter.Replayed():
		m.State = domain.MessageDead
		causes = []domain.Cause{f.deadLetter(f.wanted.Letter)}
	default:
		causes = f.storing()
		waiting, known := f.backlog()
		if known && waiting == 0 {
			causes = []domain.Cause{f.notFound(id)}
			break
		}
		m.State, m.Position = domain.MessageWaiting, waiting
		sentence = f.waitingSentence(waiting, known, causes)
		causes = append(causes, f.notStored(waiting))
	}
	e := f.explanation(causes)
	if m.State == domain.MessageStored {
		e.Expected = 0
	}
	if m.State == domain.MessageWaiting && e.Flows {
		e.Expected = f.expected(m.Position)
	}
	if sentence != "" {
		e.Sentence = sentence
	} else if len(e.Causes) > 0 {
		e.Sentence = e.Causes[0].Sentence
	}
	e.Message = m
	return e
}

// ways returns for each endpoint what became of the message there.
func (f message) ways() []domain.Cause {
	if f.knownErr != nil {
		return f.endpoints()
	}
	causes := make([]domain.Cause, 0, len(f.known.Endpoints))
	for i := range f.known.Endpoints {
		causes = append(causes, f.way(&f.known.Endpoints[i]))
	}
	return causes
}

// way returns what became of the message at an endpoint, or stands in its way there.
func (f message) way(e *domain.EndpointFacts) domain.Cause {
	w := f.wanted.Ways[e.Endpoint.ID]
	switch {
	case w.Open:
		return f.openAt(e, &w)
	case !w.DeliveredAt.IsZero():
		return f.delivered(e, &w)
	case w.Letter != 0 && !w.LetterReplayed:
		return f.givenUp(e, &w)
	case !e.Endpoint.Wants(f.wanted.Type):
		return f.notMeant(e, f.wanted.Type)
	case f.wanted.Seq <= e.Progress.Settled:
		return f.passed(e)
	}
	stopped, stops := f.endpointStops(e)
	switch {
	case stops && stopped.Kind != domain.CauseKeyBlocked:
		return stopped
	case w.Before.Seq > 0:
		return f.keyBehind(e, &w)
	}
	return f.behind(e, f.wanted.Seq)
}

// openAt returns the cause that a message has a delivery which is open.
func (f message) openAt(e *domain.EndpointFacts, w *domain.MessageWay) domain.Cause {
	stopped, stops := f.endpointStops(e)
	switch {
	case stops && stopped.Kind != domain.CauseOrderBlocked && stopped.Kind != domain.CauseKeyBlocked:
		stopped.Attempts, stopped.NextAt = w.Attempts, time.Time{}
		return stopped
	case w.Before.Seq > 0 && (w.NextAt.IsZero() || w.Before.Attempts > 0):
		return f.keyBehind(e, w)
	case stops && stopped.Kind == domain.CauseOrderBlocked && stopped.Seq < f.wanted.Seq:
		return stopped
	case w.Attempts > 0:
		return f.retried(e, w)
	}
	return f.due(e, w)
}

func (f message) storedSentence(ways []domain.Cause) string {
	stored := fmt.Sprintf("Stored as message %s %s", digits.Grouped(f.wanted.Seq), f.at(f.wanted.StoredAt))
	meant, delivered := 0, 0
	var worst *domain.Cause
	for i := range ways {
		switch ways[i].Kind {
		case domain.CauseNotMeant:
			continue
		case domain.CauseDelivered, domain.CausePassed:
			delivered++
		default:
			if worst == nil || ways[i].Stops && !worst.Stops {
				worst = &ways[i]
			}
		}
		meant++
	}
	switch {
	case len(ways) == 0:
		return stored + "; the tenant has no endpoints."
	case meant == 0:
		return stored + "; it is meant for none of the tenant's endpoints."
	case worst == nil:
		return fmt.Sprintf("%s, and delivered to %s.", stored, plural(delivered, "endpoint"))
	}
	return fmt.Sprintf("%s; delivered to %d of %s. %s", stored, delivered, plural(meant, "endpoint"), worst.Sentence)
}

func (f message) unreadSentence() string {
	why := "the database does not answer"
	switch {
	case errors.Is(f.wantedErr, domain.ErrContended):
		why = "others have the tenant's partition locked"
	case f.databaseErr == nil:
		why = "the database is busy"
	}
	return "Whether the message is stored cannot be found out, because " + why + "; what was accepted is not lost."
}

func (f message) deadLetter(l *domain.DeadLetter) domain.Cause {
	return domain.Cause{
		Kind: domain.CauseDeadLetter, Stops: true, Since: l.CreatedAt,
		Sentence: fmt.Sprintf("The message could not be stored and is the dead letter %d since %s: %s (%s).", l.Seq, f.clock(l.CreatedAt), l.Reason, l.Error),
		Help:     f.help(fmt.Sprintf("lanekeeper dead-letters show -t %[1]s %[2]d; once the reason is mended: lanekeeper dead-letters replay -t %[1]s %[2]d", f.tenant.ID, l.Seq)),
		CauseData: domain.CauseData{
			LetterID: l.Seq, Reason: string(l.Reason), Error: l.Error, Attempts: l.Attempts, Rate: -1,
		},
	}
}

func (f message) notStored(waiting int64) domain.Cause {
	c := domain.Cause{Kind: domain.CauseNotStored, CauseData: domain.CauseData{Waiting: waiting, Rate: f.rate(), Expected: f.expected(waiting)}}
	c.Sentence = "It is neither stored nor a dead letter. " + f.amongSentence(waiting)
	return c
}

func (f message) amongSentence(waiting int64) string {
	switch waiting {
	case 0:
		return "How many messages wait is not known; if it was accepted, it is one of them."
	case 1:
		return "If it was accepted, it is the one message that waits."
	}
	return fmt.Sprintf("If it was accepted, it is one of the %s that wait, and at most %s are before it.", messages(waiting), digits.Grouped(waiting-1))
}

func (f message) waitingSentence(waiting int64, known bool, causes []domain.Cause) string {
	if !known {
		waiting = 0
	}
	sentence := "Not stored yet. " + f.amongSentence(waiting)
	if len(causes) == 0 {
		return sentence
	}
	if causes[0].Stops {
		return sentence + " " + causes[0].Sentence
	}
	if e := f.expected(waiting); e > 0 {
		sentence += fmt.Sprintf(" At %s a second it is stored in at most about %s.", perSecond(f.rate()), span(e))
	}
	return sentence
}

// notFound says that there is no such message, and what its id says.
func (f message) notFound(id uuid.UUID) domain.Cause {
	c := domain.Cause{Kind: domain.CauseNotFound, Stops: true, CauseData: domain.CauseData{Rate: -1}}
	c.Sentence = "There is no such message: it is neither stored nor a dead letter, and nothing waits to be stored."
	if f.wanted.Letter != nil {
		c.Sentence += fmt.Sprintf(" It was the dead letter %d, which was replayed %s.", f.wanted.Letter.Seq, f.at(f.wanted.Letter.ReplayedAt))
		c.LetterID = f.wanted.Letter.Seq
	}
	const justNow = 5 * time.Second
	if id.Version() == 7 {
		made := time.Unix(id.Time().UnixTime()).UTC()
		if age := f.now.Sub(made); age > -justNow && age < justNow {
			c.Help = "Its id was made a moment ago: ask again in a few seconds."
			return c
		}
	}
	c.Help = "It was never accepted for this tenant, or it is not kept any longer"
	if f.tenant.RetentionDays > 0 {
		c.Help += fmt.Sprintf(" (the tenant keeps messages for %s)", plural(f.tenant.RetentionDays, "day"))
	}
	c.Help += ". Look at what publishing was answered, and whether the tenant is the right one."
	return c
}
