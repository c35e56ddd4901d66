package controller

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// openHeader has how many messages an endpoint had not got when it was deleted.
const openHeader = "Lanekeeper-Open"

// endpointService keeps the tenants' endpoints.
type endpointService interface {
	Create(ctx context.Context, p domain.Principal, tenantID uuid.UUID, c *domain.EndpointChange, key domain.IdempotencyKey) (r domain.EndpointReport, replayed bool, err error)
	// Upsert returns fresh when the endpoint, and with it the secret, was just made.
	Upsert(ctx context.Context, p domain.Principal, tenantID uuid.UUID, externalID string, c *domain.EndpointChange) (r domain.EndpointReport, fresh bool, err error)
	Get(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointReport, error)
	List(ctx context.Context, p domain.Principal, tenantID uuid.UUID) ([]domain.EndpointReport, error)
	Change(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID, c *domain.EndpointChange) (domain.EndpointReport, error)
	Delete(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (open int64, err error)
	Hold(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointReport, error)
	Resume(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointReport, error)
	Skip(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.DeadLetter, error)
	Test(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointTest, error)
	RotateSecret(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID, r domain.SecretRotation) (domain.EndpointReport, error)
	Resend(ctx context.Context, t domain.Tenant, id, messageID uuid.UUID) (domain.EndpointReport, error)
}

type endpointController struct {
	endpoints endpointService
}

// create makes an endpoint.
//
//	@Summary		Create an endpoint
//	@ID			createEndpoint
//	@Description	From then on, or from `from_seq`, every stored message of its `types` is sent to the URL with POST, signed as Standard Webhooks describes: `webhook-id`, `webhook-timestamp`, `webhook-signature`. 2xx is success; 410 disables the endpoint until it is resumed; after anything else the message is tried again as `retry` says, and in the end becomes a dead letter. Messages may come more than once: know them by `webhook-id`. The `secret` is in this answer only. A tenant may have 50: beyond that 429 `quota_exceeded`. 409 is `external_id_taken`, or `cursor_ahead` for a `from_seq` that the history has not reached.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			Idempotency-Key								header		string					false	"Makes repeating the call safe for 24 hours"	minLength(1)	maxLength(255)
//	@Param			id											path		string					true	"Id of the tenant"	format(uuid)
//	@Param			body										body		model.CreateEndpoint	true	"The endpoint"
//	@Success		201											{object}	model.Endpoint
//	@Header			201											{string}	Location			"Path of the endpoint"
//	@Header			201											{string}	Idempotent-Replayed	"true when an earlier call with the same key made the endpoint"
//	@Failure		400,401,403,404,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints [post]
//	@x-scope			"manage"
func (e *endpointController) create(c *gin.Context) error {
	tenantID, err := pathID(c)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(c)
	if err != nil {
		return err
	}
	wanted, raw, err := readEndpoint(c)
	if err != nil {
		return err
	}
	hash, err := hashJSON(raw)
	if err != nil {
		return err
	}
	r, replayed, err := e.endpoints.Create(c.Request.Context(), middleware.Principal(c), tenantID, &wanted, domain.IdempotencyKey{Key: key, Hash: hash})
	if err != nil {
		return err
	}
	if replayed {
		c.Header(replayedHeader, "true")
	}
	return created(c, &r)
}

func readEndpoint(c *gin.Context) (domain.EndpointChange, []byte, error) {
	var body model.CreateEndpoint
	raw, err := readObject(c, &body)
	if err != nil {
		return domain.EndpointChange{}, nil, err
	}
	wanted, err := body.Domain()
	return wanted, raw, err
}

func created(c *gin.Context, r *domain.EndpointReport) error {
	c.Header("Location", location(c, "/tenants/"+r.Endpoint.TenantID.String()+"/endpoints/"+r.Endpoint.ID.String()))
	return writeJSON(c, http.StatusCreated, model.FromEndpoint(r, time.Now()).WithSecret(r.Endpoint.Secret))
}

// upsert makes or changes the endpoint with an external id.
//
//	@Summary		Create or change an endpoint by your own id
//	@ID			upsertEndpoint
//	@Description	Makes the endpoint when there is none with this external id, and else changes it where it differs: what is left out gets its default, but the secret stays as it is unless another one is given.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id											path		string					true	"Id of the tenant"	format(uuid)
//	@Param			external_id									path		string					true	"Your id of the endpoint"
//	@Param			body										body		model.CreateEndpoint	true	"The endpoint"
//	@Success		200											{object}	model.Endpoint
//	@Success		201											{object}	model.Endpoint		"It was made"
//	@Header			201											{string}	Location			"Path of the endpoint"
//	@Failure		400,401,403,404,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/by-external-id/{external_id} [put]
//	@x-scope			"manage"
func (e *endpointController) upsert(c *gin.Context) error {
	tenantID, err := pathID(c)
	if err != nil {
		return err
	}
	wanted, _, err := readEndpoint(c)
	if err != nil {
		return err
	}
	r, fresh, err := e.endpoints.Upsert(c.Request.Context(), middleware.Principal(c), tenantID, c.Param("external_id"), &wanted)
	if err != nil {
		return err
	}
	if fresh {
		return created(c, &r)
	}
	return writeJSON(c, http.StatusOK, model.FromEndpoint(&r, time.Now()))
}

// list returns a tenant's endpoints.
//
//	@Summary		List endpoints
//	@ID			listEndpoints
//	@Description	All of the tenant's, which are 50 at most, oldest first.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"	format(uuid)
//	@Success		200						{object}	model.EndpointList
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints [get]
//	@x-scope			"read"
func (e *endpointController) list(c *gin.Context) error {
	tenantID, err := pathID(c)
	if err != nil {
		return err
	}
	reports, err := e.endpoints.List(c.Request.Context(), middleware.Principal(c), tenantID)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromEndpoints(reports, time.Now()))
}

// get returns one endpoint.
//
//	@Summary		Get an endpoint
//	@ID			getEndpoint
//	@Description	With how far deliveries are: `lag` is exact, and 0 when it has got everything.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id				path		string	true	"Id of the endpoint"	format(uuid)
//	@Success		200						{object}	model.Endpoint
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id} [get]
//	@x-scope			"read"
func (e *endpointController) get(c *gin.Context) error { return e.answer(c, e.endpoints.Get) }

// answer answers with an endpoint as a call leaves it.
func (e *endpointController) answer(c *gin.Context, call func(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointReport, error)) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	r, err := call(c.Request.Context(), middleware.Principal(c), tenantID, id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromEndpoint(&r, time.Now()))
}

// change changes an endpoint.
//
//	@Summary		Change an endpoint
//	@ID			updateEndpoint
//	@Description	What is left out stays as it is. It takes effect within a second, for messages that are not under way yet; another URL also closes the breaker. 409 is `external_id_taken`, or `endpoint_unreadable` where the key is missing that secret and headers were encrypted with and only one of them is given anew.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id											path		string					true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id									path		string					true	"Id of the endpoint"	format(uuid)
//	@Param			body										body		model.ChangeEndpoint	true	"What to change"
//	@Success		200											{object}	model.Endpoint
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id} [patch]
//	@x-scope			"manage"
func (e *endpointController) change(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	var body model.ChangeEndpoint
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	wanted, err := body.Domain()
	if err != nil {
		return err
	}
	r, err := e.endpoints.Change(c.Request.Context(), middleware.Principal(c), tenantID, id, &wanted)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromEndpoint(&r, time.Now()))
}

// remove deletes an endpoint.
//
//	@Summary		Delete an endpoint
//	@ID			deleteEndpoint
//	@Description	Ends its deliveries. Messages that it had not got stay in the history; its dead letters stay too, and cannot be replayed any more.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path	string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id				path	string	true	"Id of the endpoint"	format(uuid)
//	@Success		204						"The endpoint is gone"
//	@Header			204						{integer}	Lanekeeper-Open	"How many messages it had not got: its lag"
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id} [delete]
//	@x-scope			"manage"
func (e *endpointController) remove(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	open, err := e.endpoints.Delete(c.Request.Context(), middleware.Principal(c), tenantID, id)
	if err != nil {
		return err
	}
	c.Header(openHeader, strconv.FormatInt(open, 10))
	c.Status(http.StatusNoContent)
	return nil
}

// pathEndpoint returns the ids in the path of an endpoint.
func pathEndpoint(c *gin.Context) (tenantID, id uuid.UUID, err error) {
	if tenantID, err = pathID(c); err == nil {
		id, err = domain.ParseID(c.Param("endpoint_id"))
	}
	return tenantID, id, err
}
