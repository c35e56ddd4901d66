package controller

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// maxSearch is how many characters may be searched for.
const maxSearch = 255

// overviewService knows how tenants and replicas do.
type overviewService interface {
	Overview(ctx context.Context, p domain.Principal) (domain.Overview, error)
	Tenants(ctx context.Context, p domain.Principal, q domain.OverviewQuery) (domain.OverviewPage, error)
	Tenant(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.TenantOverview, error)
	Fleet(ctx context.Context, p domain.Principal) (domain.FleetOverview, error)
	ReplicaTenants(ctx context.Context, p domain.Principal, replica string, q domain.OverviewQuery) (domain.OverviewPage, error)
}

type overviewController struct {
	overview overviewService
}

// get returns how everything does.
//
//	@Summary		Show how everything does
//	@ID			getOverview
//	@Description	Of all tenants that the caller may see: how many are in which state, what waits, and what should be looked at, in sentences with numbers and with a call that helps, which most messages wait for first. What is stored, dead letters and lags are exact; backlogs are some seconds old. Callers who are not admin see nothing of the service itself. While the database is away the answer is what was known last, for 10 minutes: `age_seconds` says how old that is. It may be polled every second or two: all callers share one look at the database.
//	@Tags			overview
//	@Security		BearerAuth
//	@Produce		json
//	@Success		200				{object}	model.Overview
//	@Failure		401,403,500,503	{object}	model.Problem
//	@Router			/overview [get]
//	@x-scope			"read"
func (o *overviewController) get(c *gin.Context) error {
	overview, err := o.overview.Overview(c.Request.Context(), middleware.Principal(c))
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromOverview(&overview))
}

// tenants returns a page of how tenants do.
//
//	@Summary		List how tenants do
//	@ID			listTenantOverviews
//	@Description	Of the tenants that the caller may see. `sort` puts names in their order, and else what is worst, largest or latest first; a cursor goes with the sort that it came from.
//	@Tags			overview
//	@Security		BearerAuth
//	@Produce		json
//	@Param			cursor				query		string	false	"`next_cursor` of the page before; 0 begins at the start"
//	@Param			limit				query		int		false	"How many at most"	minimum(1)	maximum(1000)	default(50)
//	@Param			q					query		string	false	"Only tenants with this text in their name or external id, or at the beginning of their id"	maxLength(255)
//	@Param			state				query		string	false	"Only tenants in this state"	Enums(flows, waits, fails, stopped, inactive, provisioning, deleting)
//	@Param			sort				query		string	false	"In which order"	Enums(created, name, state, backlog, oldest, rate, stored, lag, dead_letters)	default(created)
//	@Success		200					{object}	model.TenantOverviewPage
//	@Failure		400,401,403,500,503	{object}	model.Problem
//	@Router			/overview/tenants [get]
//	@x-scope			"read"
func (o *overviewController) tenants(c *gin.Context) error {
	q, err := overviewQuery(c)
	if err != nil {
		return err
	}
	if q.Text, err = querySearch(c); err != nil {
		return err
	}
	if q.State, err = queryWord(c, "state", domain.StateFlows, domain.StateWaits, domain.StateFails, domain.StateStopped, domain.StateInactive,
		domain.StateProvisioning, domain.StateDeleting); err != nil {
		return err
	}
	if q.Sort, err = queryWord(c, "sort", domain.SortCreated, domain.SortName, domain.SortState, domain.SortBacklog, domain.SortOldest, domain.SortRate,
		domain.SortStored, domain.SortLag, domain.SortDeadLetters); err != nil {
		return err
	}
	page, err := o.overview.Tenants(c.Request.Context(), middleware.Principal(c), q)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromTenantOverviews(&page))
}

// tenant returns how one tenant does.
//
//	@Summary	Show how a tenant does
//	@ID		getTenantOverview
//	@Tags		overview
//	@Security	BearerAuth
//	@Produce	json
//	@Param		id						path		string	true	"Id of the tenant"	format(uuid)
//	@Success	200						{object}	model.TenantOverview
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/overview/tenants/{id} [get]
//	@x-scope		"read"
func (o *overviewController) tenant(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	tenant, err := o.overview.Tenant(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromTenantOverview(&tenant))
}

// fleet returns how the replicas do.
//
//	@Summary		Show the replicas
//	@ID			getFleet
//	@Description	Every process of the service that has shown within an hour that it lives, and which tenants moved last, from which to which.
//	@Tags			overview
//	@Security		BearerAuth
//	@Produce		json
//	@Success		200				{object}	model.Fleet
//	@Failure		401,403,500,503	{object}	model.Problem
//	@Router			/fleet [get]
func (o *overviewController) fleet(c *gin.Context) error {
	fleet, err := o.overview.Fleet(c.Request.Context(), middleware.Principal(c))
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromFleet(&fleet))
}

// replicaTenants returns a page of the tenants of a replica.
//
//	@Summary		List how the tenants of a replica do
//	@ID			listReplicaTenants
//	@Description	Of those whose consumers it runs, oldest first.
//	@Tags			overview
//	@Security		BearerAuth
//	@Produce		json
//	@Param			replica					path		string	true	"Id of the replica"	maxLength(255)
//	@Param			cursor					query		string	false	"`next_cursor` of the page before; 0 begins at the start"
//	@Param			limit					query		int		false	"How many at most"	minimum(1)	maximum(1000)	default(50)
//	@Success		200						{object}	model.TenantOverviewPage
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/fleet/{replica}/tenants [get]
func (o *overviewController) replicaTenants(c *gin.Context) error {
	q, err := overviewQuery(c)
	if err != nil {
		return err
	}
	page, err := o.overview.ReplicaTenants(c.Request.Context(), middleware.Principal(c), c.Param("replica"), q)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromTenantOverviews(&page))
}

// overviewQuery reads which page is asked for.
func overviewQuery(c *gin.Context) (q domain.OverviewQuery, err error) {
	if q.Limit, err = queryLimit(c); err != nil {
		return q, err
	}
	sent, ok, err := middleware.Query(c, "cursor")
	switch {
	case err != nil || !ok || sent == model.StartCursor:
		return q, err
	case sent == "":
		return q, middleware.InvalidQuery("cursor", "must come from an earlier answer, or be 0")
	}
	q.Cursor = sent
	return q, nil
}

// queryWord returns a query parameter that is one of some words, or "" when it was not
// sent.
func queryWord[T ~string](c *gin.Context, name string, words ...T) (T, error) {
	sent, ok, err := middleware.Query(c, name)
	if err != nil || !ok {
		return "", err
	}
	if word := T(sent); slices.Contains(words, word) {
		return word, nil
	}
	return "", middleware.InvalidQuery(name, fmt.Sprintf("must be one of %v", words))
}

// querySearch returns ?q=.
func querySearch(c *gin.Context) (string, error) {
	text, _, err := middleware.Query(c, "q")
	if err == nil && utf8.RuneCountInString(text) > maxSearch {
		err = middleware.InvalidQuery("q", "must have at most 255 characters")
	}
	return text, err
}
