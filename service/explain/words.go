package explain

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/digits"
)

// sentences puts what is known into words, for the caller who asked.
type sentences struct{ *facts }

// messages writes how many there are.
func messages(n int64) string {
	if n == 1 {
		return "1 message"
	}
	return digits.Grouped(n) + " messages"
}

// wait writes how many messages wait, as a clause.
func wait(n int64) string {
	switch n {
	case 0:
		return "nothing waits"
	case 1:
		return "1 message waits"
	}
	return digits.Grouped(n) + " messages wait"
}

// span writes a time that something takes, or is over.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Round(10*d.Seconds())/10, 'f', -1, 64) + " s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	case d < 48*time.Hour:
		whole := d.Round(time.Minute)
		return fmt.Sprintf("%d h %d min", int(whole.Hours()), int(whole.Minutes())%60)
	}
	return fmt.Sprintf("%s days", digits.Grouped(int64(d.Hours()/24)))
}

// perSecond writes how many there are in a second.
func perSecond(rate float64) string {
	if rate >= 10 {
		return digits.Grouped(int64(math.Round(rate)))
	}
	return strconv.FormatFloat(math.Round(10*rate)/10, 'f', -1, 64)
}

// clock writes a time of the day, with the day where that is another one.
func (f sentences) clock(at time.Time) string {
	if far := at.Sub(f.now); far > 20*time.Hour || far < -20*time.Hour {
		return at.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return at.UTC().Format("15:04:05 UTC")
}

// at writes when something was.
func (f sentences) at(at time.Time) string {
	return fmt.Sprintf("at %s (%s ago)", f.clock(at), span(f.now.Sub(at)))
}

// since writes for how long something has been, with a space before it; nothing where
// that is not known.
func (f sentences) since(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(" since %s (%s)", f.clock(at), span(f.now.Sub(at)))
}

// next writes when something is tried again.
func (f sentences) next(at time.Time) string {
	switch left := at.Sub(f.now); {
	case at.IsZero():
		return "when another one is done"
	case left <= 0:
		return "now"
	default:
		return fmt.Sprintf("at %s, in %s", f.clock(at), span(left))
	}
}

// soon writes when messages will be through, as the end of a sentence; nothing where that
// is not known.
func soon(prefix string, d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return prefix + "in about " + span(d)
}

// who writes who did something, with " by" before it; nothing where the caller may not
// know.
func who(by *domain.CauseActor) string {
	if by == nil {
		return ""
	}
	switch by.Kind {
	case domain.ActorOpen:
		return " by the built-in admin of open mode"
	case domain.ActorCommand:
		return " by a command of lanekeeper"
	case domain.ActorKey:
		if by.Name != "" {
			return fmt.Sprintf(" by the API key %q", by.Name)
		}
		return " by the API key " + by.KeyID.String()
	case domain.ActorPortal:
		return " by somebody with a portal link"
	case domain.ActorUser, domain.ActorAnonymous:
	}
	if by.Name != "" {
		return " by " + by.Name
	}
	return " by the user " + by.UserID.String()
}

// mayTell returns who did something, if the caller may know: what the audit log shows
// to it.
func (f sentences) mayTell(d *domain.Deed) *domain.CauseActor {
	if d == nil || !f.caller.IsAdmin() && !f.caller.Owns(&f.tenant) && (d.By.UserID != f.caller.UserID || f.caller.ByKey()) {
		return nil
	}
	return &d.By
}

// place writes where an endpoint is, without what may be a secret.
func place(e *domain.Endpoint) string {
	_, rest, _ := strings.Cut(e.URL, "://")
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	host, path, _ := strings.Cut(rest, "/")
	if _, after, userinfo := strings.Cut(host, "@"); userinfo {
		host = after
	}
	const most = 60
	if path = strings.TrimSuffix(path, "/"); path != "" {
		host += "/" + path
	}
	if len(host) > most {
		host = strings.ToValidUTF8(host[:most], "") + "..."
	}
	return host
}

// capital begins a sentence.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
