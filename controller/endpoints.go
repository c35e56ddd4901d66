package controller

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// endpointService keeps the tenants' endpoints.
type endpointService interface {
	// Put returns fresh when the secret was just made.
	Put(ctx context.Context, p domain.Principal, tenantID uuid.UUID, change domain.EndpointChange) (e domain.Endpoint, fresh bool, err error)
	Get(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.Endpoint, error)
	Delete(ctx context.Context, p domain.Principal, tenantID uuid.UUID) error
	Test(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.TransmitResult, time.Duration, error)
}

type endpointController struct {
	endpoints endpointService
}

// put sets a tenant's endpoint.
//
//	@Summary		Set the endpoint
//	@Description	From then on every stored message is sent to the URL with POST, signed as Standard Webhooks describes: `webhook-id`, `webhook-timestamp`, `webhook-signature`. 2xx is success; 410 pauses the endpoint until it is set again; after anything else the message is tried again, and in the end becomes a dead letter. Messages may come more than once: know them by `webhook-id`. The `secret` is in the answer only when it was just made: with the endpoint, or with `rotate_secret`.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id											path		string				true	"Id of the tenant"	format(uuid)
//	@Param			body										body		model.PutEndpoint	true	"The endpoint"
//	@Success		200											{object}	model.Endpoint
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoint [put]
func (e *endpointController) put(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var body model.PutEndpoint
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	wanted, err := body.Domain()
	if err != nil {
		return err
	}
	endpoint, fresh, err := e.endpoints.Put(c.Request.Context(), middleware.Principal(c), id, wanted)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromEndpoint(&endpoint, fresh))
}

// get returns a tenant's endpoint.
//
//	@Summary		Get the endpoint
//	@Description	Without the secret.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"	format(uuid)
//	@Success		200						{object}	model.Endpoint
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoint [get]
func (e *endpointController) get(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	endpoint, err := e.endpoints.Get(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromEndpoint(&endpoint, false))
}

// remove takes a tenant's endpoint away.
//
//	@Summary		Remove the endpoint
//	@Description	Messages are stored only, from then on. What waits for another attempt is not sent.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path	string	true	"Id of the tenant"	format(uuid)
//	@Success		204							"The tenant has no endpoint"
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoint [delete]
func (e *endpointController) remove(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := e.endpoints.Delete(c.Request.Context(), middleware.Principal(c), id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// test sends a message to a tenant's endpoint.
//
//	@Summary		Test the endpoint
//	@Description	Sends a signed message of `"type": "lanekeeper.test"` now, and waits at most 5 seconds for the answer. Nothing is stored or tried again.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string				true	"Id of the tenant"	format(uuid)
//	@Success		200						{object}	model.EndpointTest	"How it went, well or not"
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoint/test [post]
func (e *endpointController) test(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	result, took, err := e.endpoints.Test(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromEndpointTest(&result, took))
}
