package controller

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/model"
)

// hold keeps messages from being delivered.
//
//	@Summary		Hold an endpoint
//	@ID			holdEndpoint
//	@Description	Nothing is delivered to it until it is resumed, and nothing is lost: no attempt is used up, and deliveries go on where they stopped. What is under way ends. 409 `endpoint_disabled` for one that is disabled.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id					path		string	true	"Id of the endpoint"	format(uuid)
//	@Success		200							{object}	model.Endpoint
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/hold [post]
//	@x-scope			"manage"
func (e *endpointController) hold(c *gin.Context) error { return e.answer(c, e.endpoints.Hold) }

// resume lets messages be delivered again.
//
//	@Summary		Resume an endpoint
//	@ID			resumeEndpoint
//	@Description	Ends what hold began, and enables an endpoint that is disabled: deliveries go on where they stopped. 409 `endpoint_unreadable` where the key is missing that its secret was encrypted with.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id					path		string	true	"Id of the endpoint"	format(uuid)
//	@Success		200							{object}	model.Endpoint
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/resume [post]
//	@x-scope			"manage"
func (e *endpointController) resume(c *gin.Context) error { return e.answer(c, e.endpoints.Resume) }

// skip gives up the message that blocks an endpoint.
//
//	@Summary		Skip the message that an endpoint is stuck at
//	@ID			skipMessage
//	@Description	For endpoints with ordering fifo: the message that failed and holds those behind it is given up. It becomes a dead letter, which is the answer, and can be replayed. 409 `nothing_to_skip` where none does.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id					path		string	true	"Id of the endpoint"	format(uuid)
//	@Success		200							{object}	model.DeadLetter
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/skip [post]
//	@x-scope			"manage"
func (e *endpointController) skip(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	letter, err := e.endpoints.Skip(c.Request.Context(), middleware.Principal(c), tenantID, id)
	if err != nil {
		return err
	}
	head, body, tail, err := model.EncodeDeadLetter(&letter)
	if err != nil {
		return err
	}
	return writePieces(c, head, body, tail)
}

// test sends a message to an endpoint.
//
//	@Summary		Test an endpoint
//	@ID			testEndpoint
//	@Description	Sends a signed message `{"type": "lanekeeper.test", ...}` now, whether the endpoint is active or not, waits 5 seconds at most, and says what came of it. Nothing is stored or tried again. 409 `endpoint_unreadable` where the key is missing that its secret was encrypted with.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id					path		string	true	"Id of the endpoint"	format(uuid)
//	@Success		200							{object}	model.EndpointTest
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/test [post]
//	@x-scope			"manage"
func (e *endpointController) test(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	result, err := e.endpoints.Test(c.Request.Context(), middleware.Principal(c), tenantID, id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromEndpointTest(&result))
}

// rotate gives an endpoint another secret.
//
//	@Summary		Rotate the signing secret
//	@ID			rotateEndpointSecret
//	@Description	The answer has the new secret, this once. Until the grace is over deliveries carry two signatures, with the new secret and with the one before; a secret from an earlier rotation ends at once. An empty object, or no body, rotates with a grace of 24 hours. 409 `endpoint_unreadable` where the key is missing that the secret was encrypted with.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id											path		string				true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id									path		string				true	"Id of the endpoint"	format(uuid)
//	@Param			body										body		model.RotateSecret	false	"How"
//	@Success		200											{object}	model.Endpoint
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/rotate-secret [post]
//	@x-scope			"manage"
func (e *endpointController) rotate(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	var body model.RotateSecret
	if c.Request.ContentLength != 0 {
		if _, err := readObject(c, &body); err != nil {
			return err
		}
	}
	r, err := e.endpoints.RotateSecret(c.Request.Context(), middleware.Principal(c), tenantID, id, body.Domain())
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromEndpoint(&r, time.Now()).WithSecret(r.Endpoint.Secret))
}

// resend has one message delivered to an endpoint.
//
//	@Summary		Resend a message to an endpoint
//	@ID			resendMessage
//	@Description	Delivers a stored message to the endpoint now, or once it is resumed, whether it got the message before or not and whatever its `types` are. It goes out of order and has all attempts of the endpoint's schedule; with ordering fifo the messages behind wait for it. A delivery that waits for its next attempt is tried at once. 409 says that the message is on its way already: `not_yet_settled` where the endpoint has not got as far, `waits_for_key` where another message of its ordering_key comes first.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID					header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id					query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			id							path		string	true	"Id of the message"												format(uuid)
//	@Param			endpoint_id					path		string	true	"Id of the endpoint"											format(uuid)
//	@Success		202							{object}	model.Endpoint
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/messages/{id}/endpoints/{endpoint_id}/resend [post]
//	@x-scope			"manage"
func (e *endpointController) resend(c *gin.Context) error {
	messageID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	r, err := e.endpoints.Resend(c.Request.Context(), middleware.Tenant(c), id, messageID)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusAccepted, model.FromEndpoint(&r, time.Now()))
}
