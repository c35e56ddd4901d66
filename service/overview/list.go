package overview

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// place is where a page ended: a tenant, and the key by which it was sorted, so that the
// next page goes on from there although the tenant may have another key by then.
type place struct {
	Sort domain.TenantSort `json:"s"`
	Text string            `json:"t,omitempty"`
	Num  float64           `json:"n,omitempty"`
	ID   uuid.UUID         `json:"i"`
}

// page returns a page of tenants, which are in the order of their ids.
func page(at time.Time, tenants []*domain.TenantOverview, q *domain.OverviewQuery) (domain.OverviewPage, error) {
	sort := cmp.Or(q.Sort, domain.SortCreated)
	var after place
	if q.Cursor != "" {
		var ok bool
		if after, ok = readPlace(q.Cursor); !ok || after.Sort != sort {
			err := domain.New(domain.ErrMalformed, "invalid_query", "The query parameter cursor is not valid.")
			err.Fields = []domain.FieldError{{Pointer: "cursor", Message: "must come from an earlier answer with the same sort, or be 0"}}
			return domain.OverviewPage{}, err
		}
	}
	text := strings.ToLower(q.Text)
	var places []place
	var matching []*domain.TenantOverview
	for _, t := range tenants {
		if matches(t, q, text) {
			matching = append(matching, t)
			places = append(places, placeOf(sort, t, at))
		}
	}
	order := make([]int, len(matching))
	for i := range order {
		order[i] = i
	}
	if sort != domain.SortCreated {
		slices.SortFunc(order, func(a, b int) int { return compare(&places[a], &places[b]) })
	}
	begin := 0
	if q.Cursor != "" {
		begin, _ = slices.BinarySearchFunc(order, &after, func(i int, after *place) int {
			if compare(&places[i], after) <= 0 {
				return -1
			}
			return 1
		})
	}
	end := min(begin+q.Limit, len(order))
	answer := domain.OverviewPage{At: at, Total: len(order), Tenants: make([]domain.TenantOverview, 0, end-begin)}
	for _, i := range order[begin:end] {
		answer.Tenants = append(answer.Tenants, *matching[i])
	}
	if end < len(order) {
		answer.Next = places[order[end-1]].String()
	}
	return answer, nil
}

func matches(t *domain.TenantOverview, q *domain.OverviewQuery, text string) bool {
	switch {
	case q.State != "" && t.State != q.State, q.Replica != "" && t.Replica != q.Replica:
		return false
	case text == "":
		return true
	}
	return strings.Contains(strings.ToLower(t.Name), text) || strings.Contains(strings.ToLower(t.ExternalID), text) || strings.HasPrefix(t.ID.String(), text)
}

// severity is the order of states in a list: what is worse comes first.
func severity(s domain.TenantState) float64 {
	return float64(slices.Index([]domain.TenantState{
		domain.StateFlows, domain.StateDeleting, domain.StateProvisioning, domain.StateInactive, domain.StateStopped, domain.StateWaits, domain.StateFails,
	}, s))
}

func placeOf(sort domain.TenantSort, t *domain.TenantOverview, at time.Time) place {
	p := place{Sort: sort, ID: t.ID}
	switch sort {
	case domain.SortCreated:
	case domain.SortName:
		p.Text = strings.ToLower(t.Name)
	case domain.SortState:
		p.Num = severity(t.State)
	case domain.SortBacklog:
		p.Num = float64(t.Backlog)
	case domain.SortOldest:
		p.Num = t.Oldest(at).Seconds()
	case domain.SortRate:
		if p.Num = -1; t.Rate != nil {
			p.Num = *t.Rate
		}
	case domain.SortStored:
		p.Num = float64(t.LastStoredAt.Unix())
	case domain.SortLag:
		p.Num = float64(t.Endpoints.Lag)
	case domain.SortDeadLetters:
		p.Num = float64(t.DeadLetters)
	}
	return p
}

// compare orders places: names up, numbers down.
func compare(a, b *place) int {
	return cmp.Or(strings.Compare(a.Text, b.Text), cmp.Compare(b.Num, a.Num), bytes.Compare(a.ID[:], b.ID[:]))
}

// String returns the place as a cursor.
func (p place) String() string {
	if p.Sort == domain.SortCreated {
		return p.ID.String()
	}
	text, err := json.Marshal(p)
	if err != nil {
		return "" // numbers are finite
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// readPlace reads a cursor.
func readPlace(cursor string) (p place, ok bool) {
	if id, err := domain.ParseID(cursor); err == nil {
		return place{Sort: domain.SortCreated, ID: id}, true
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(text, &p) != nil {
		return place{}, false
	}
	return p, p.Sort != domain.SortCreated
}
