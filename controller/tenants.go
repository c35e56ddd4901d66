package controller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// discardedHeader has how many messages were dropped with a tenant.
const discardedHeader = "Lanekeeper-Discarded"

// tenantService keeps the tenants.
type tenantService interface {
	// Create returns a tenant in state provisioning when that is not done yet.
	Create(ctx context.Context, p domain.Principal, n domain.NewTenant, key domain.IdempotencyKey) (t domain.Tenant, replayed bool, err error)
	Get(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error)
	List(ctx context.Context, p domain.Principal, q domain.TenantQuery) (tenants []domain.Tenant, more bool, err error)
	Change(ctx context.Context, p domain.Principal, id uuid.UUID, change domain.TenantChange) (domain.Tenant, error)
	// Put returns made when there was no tenant with this external id.
	Put(ctx context.Context, p domain.Principal, externalID string, n domain.NewTenant, c domain.TenantChange) (t domain.Tenant, made bool, err error)
	SetWorkers(ctx context.Context, p domain.Principal, id uuid.UUID, workers int) (domain.Tenant, error)
	// Delete returns a tenant in state deleting when that is not done yet.
	Delete(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error)
}

type tenantController struct {
	tenants tenantService
}

// create makes a tenant.
//
//	@Summary		Create a tenant
//	@ID			createTenant
//	@Description	Gives the tenant its queue, consumer and partition. While the broker is away the answer is 202 and the tenant is made as soon as it is back.
//	@Tags			tenants
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			Idempotency-Key							header		string				false	"Makes repeating the call safe for 24 hours"	minLength(1)	maxLength(255)
//	@Param			body									body		model.CreateTenant	true	"The tenant"
//	@Success		201										{object}	model.Tenant
//	@Success		202										{object}	model.Tenant		"The tenant is being provisioned"
//	@Header			201,202									{string}	Location			"Path of the tenant"
//	@Header			201,202									{string}	Idempotent-Replayed	"true when an earlier call with the same key made the tenant"
//	@Failure		400,401,403,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/tenants [post]
//	@x-scope			"provision"
func (t *tenantController) create(c *gin.Context) error {
	key, err := idempotencyKey(c)
	if err != nil {
		return err
	}
	var body model.CreateTenant
	raw, err := readObject(c, &body)
	if err != nil {
		return err
	}
	wanted, err := body.Domain()
	if err != nil {
		return err
	}
	hash, err := hashJSON(raw)
	if err != nil {
		return err
	}
	tenant, replayed, err := t.tenants.Create(c.Request.Context(), middleware.Principal(c), wanted, domain.IdempotencyKey{Key: key, Hash: hash})
	if err != nil {
		return err
	}
	if replayed {
		c.Header(replayedHeader, "true")
	}
	status := http.StatusCreated
	if tenant.Status == domain.TenantProvisioning {
		status = http.StatusAccepted
	}
	c.Header("Location", location(c, "/tenants/"+tenant.ID.String()))
	return writeJSON(c, status, model.FromTenant(&tenant))
}

// put makes or changes the tenant with an external id.
//
//	@Summary		Create or change a tenant by your own id
//	@ID			upsertTenant
//	@Description	Makes your tenant with this external id when there is none, and else changes it where it differs; what is left out stays as it is, and `metadata`, when it is given, is all that there is to be. It may be repeated, and however many calls come at once, there is one tenant. Admins put tenants of their own, too. A key with the scope `provision` alone makes tenants; to change one it needs `manage` as well.
//	@Tags			tenants
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			external_id								path		string				true	"Your id of the tenant, 1 to 255 printable characters"	maxLength(255)
//	@Param			body									body		model.CreateTenant	true	"The tenant"
//	@Success		200										{object}	model.Tenant
//	@Success		201										{object}	model.Tenant		"It was made"
//	@Success		202										{object}	model.Tenant		"The tenant is being provisioned"
//	@Header			201,202									{string}	Location			"Path of the tenant"
//	@Failure		400,401,403,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/tenants/by-external-id/{external_id} [put]
//	@x-scope			"provision"
func (t *tenantController) put(c *gin.Context) error {
	var body model.CreateTenant
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	wanted, err := body.Domain()
	if err != nil {
		return err
	}
	change, err := body.Change()
	if err != nil {
		return err
	}
	tenant, made, err := t.tenants.Put(c.Request.Context(), middleware.Principal(c), c.Param("external_id"), wanted, change)
	if err != nil {
		return err
	}
	status := http.StatusOK
	switch {
	case tenant.Status == domain.TenantProvisioning:
		status = http.StatusAccepted
	case made:
		status = http.StatusCreated
	}
	if status != http.StatusOK {
		c.Header("Location", location(c, "/tenants/"+tenant.ID.String()))
	}
	return writeJSON(c, status, model.FromTenant(&tenant))
}

// list returns a page of the tenants the caller may access.
//
//	@Summary		List tenants
//	@ID			listTenants
//	@Description	Oldest first; callers who are not admin see their own. `metadata.KEY=VALUE` restricts the answer to tenants that have this in their metadata, such as `metadata.plan=pro`; several such parameters, to those that have all of it.
//	@Tags			tenants
//	@Security		BearerAuth
//	@Produce		json
//	@Param			cursor				query		string	false	"`next_cursor` of the page before; 0 begins at the start"
//	@Param			limit				query		int		false	"How many at most"				minimum(1)	maximum(1000)	default(50)
//	@Param			status				query		string	false	"Only tenants in this state"	Enums(provisioning, active, inactive, deleting)
//	@Param			external_id			query		string	false	"Only tenants with this external id"	minLength(1)	maxLength(255)
//	@Success		200					{object}	model.TenantPage
//	@Failure		400,401,403,500,503	{object}	model.Problem
//	@Router			/tenants [get]
//	@x-scope			"read"
func (t *tenantController) list(c *gin.Context) error {
	after, sent, err := queryAfter(c)
	if err != nil {
		return err
	}
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	statuses, err := queryStatus(c)
	if err != nil {
		return err
	}
	q := domain.TenantQuery{After: after, Limit: limit, Statuses: statuses}
	if q.ExternalID, err = queryExternalID(c); err != nil {
		return err
	}
	if q.Metadata, err = middleware.QueryPrefixed(c, "metadata."); err != nil {
		return err
	}
	if err := domain.CheckMetadataFilter(q.Metadata); err != nil {
		return err
	}
	tenants, more, err := t.tenants.List(c.Request.Context(), middleware.Principal(c), q)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromTenants(tenants, more, sent))
}

// get returns one tenant.
//
//	@Summary	Get a tenant
//	@ID		getTenant
//	@Tags		tenants
//	@Security	BearerAuth
//	@Produce	json
//	@Param		id						path		string	true	"Id of the tenant"	format(uuid)
//	@Success	200						{object}	model.Tenant
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/tenants/{id} [get]
//	@x-scope		"read"
func (t *tenantController) get(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	tenant, err := t.tenants.Get(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromTenant(&tenant))
}

// change changes a tenant.
//
//	@Summary		Change a tenant
//	@ID			updateTenant
//	@Description	What is left out stays as it is. An inactive tenant has no consumer and takes no messages; its queue and history stay.
//	@Tags			tenants
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id											path		string				true	"Id of the tenant"	format(uuid)
//	@Param			body										body		model.ChangeTenant	true	"What to change"
//	@Success		200											{object}	model.Tenant
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/tenants/{id} [patch]
//	@x-scope			"manage"
//	@x-portal			"never"
func (t *tenantController) change(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var body model.ChangeTenant
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	wanted, err := body.Domain()
	if err != nil {
		return err
	}
	tenant, err := t.tenants.Change(c.Request.Context(), middleware.Principal(c), id, wanted)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromTenant(&tenant))
}

// setConcurrency changes a tenant's number of workers.
//
//	@Summary		Set the number of workers
//	@ID			setWorkers
//	@Description	Takes effect within a second while the consumer runs; nothing is lost or redelivered.
//	@Tags			tenants
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id											path		string					true	"Id of the tenant"	format(uuid)
//	@Param			body										body		model.SetConcurrency	true	"The number of workers"
//	@Success		200											{object}	model.Concurrency
//	@Failure		400,401,403,404,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/config/concurrency [put]
//	@x-scope			"manage"
func (t *tenantController) setConcurrency(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var body model.SetConcurrency
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	workers, err := body.Domain()
	if err != nil {
		return err
	}
	tenant, err := t.tenants.SetWorkers(c.Request.Context(), middleware.Principal(c), id, workers)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromConcurrency(&tenant))
}

// remove deletes a tenant.
//
//	@Summary		Delete a tenant
//	@ID			deleteTenant
//	@Description	Stops the consumer, then removes queue, history and partition. What takes longer than 5 seconds goes on by itself, and the answer is 202.
//	@Tags			tenants
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path		string			true	"Id of the tenant"	format(uuid)
//	@Success		202							{object}	model.Tenant	"The tenant is being deleted"
//	@Success		204							"The tenant is gone"
//	@Header			204							{integer}	Lanekeeper-Discarded	"How many messages were dropped with the queue"
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id} [delete]
//	@x-scope			"provision"
func (t *tenantController) remove(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	tenant, err := t.tenants.Delete(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	if tenant.Status != domain.TenantDeleted {
		return writeJSON(c, http.StatusAccepted, model.FromTenant(&tenant))
	}
	c.Header(discardedHeader, strconv.FormatInt(tenant.Discarded, 10))
	c.Status(http.StatusNoContent)
	return nil
}

// queryExternalID returns ?external_id=, or "" for none.
func queryExternalID(c *gin.Context) (string, error) {
	text, ok, err := middleware.Query(c, "external_id")
	if err != nil || !ok {
		return "", err
	}
	if err := domain.CheckExternalID("external_id", text); err != nil {
		return "", middleware.InvalidQuery("external_id", "must be 1 to 255 printable characters")
	}
	return text, nil
}

// queryStatus returns ?status=, or nil for none.
func queryStatus(c *gin.Context) ([]domain.TenantStatus, error) {
	text, ok, err := middleware.Query(c, "status")
	if err != nil || !ok {
		return nil, err
	}
	switch status := domain.TenantStatus(text); status {
	case domain.TenantProvisioning, domain.TenantActive, domain.TenantInactive, domain.TenantDeleting:
		return []domain.TenantStatus{status}, nil
	case domain.TenantDeleted:
	}
	return nil, middleware.InvalidQuery("status", `must be "provisioning", "active", "inactive" or "deleting"`)
}

// hashJSON returns the SHA-256 of doc without its white space.
func hashJSON(doc []byte) ([32]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, doc); err != nil {
		return [32]byte{}, fmt.Errorf("compact body: %w", err)
	}
	return sha256.Sum256(compact.Bytes()), nil
}
