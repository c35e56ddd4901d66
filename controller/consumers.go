package controller

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// consumerService shows, stops and starts consumers.
type consumerService interface {
	Consumers(ctx context.Context, p domain.Principal, q domain.TenantQuery) (consumers []domain.ConsumerStatus, more bool, err error)
	Consumer(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.ConsumerStatus, error)
	StopConsumer(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.ConsumerStatus, error)
	StartConsumer(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.ConsumerStatus, error)
	// StopConsumers and StartConsumers return for how many that was a change.
	StopConsumers(ctx context.Context, p domain.Principal) (int, error)
	StartConsumers(ctx context.Context, p domain.Principal) (int, error)
}

type consumerController struct {
	consumers consumerService
}

// list returns a page of consumers.
//
//	@Summary		List consumers
//	@ID			listConsumers
//	@Description	In the order of their tenants, oldest first; callers who are not admin see those of their own. A tenant without a running consumer has one that is `stopped`.
//	@Tags			consumers
//	@Security		BearerAuth
//	@Produce		json
//	@Param			cursor				query		string	false	"`next_cursor` of the page before; 0 begins at the start"
//	@Param			limit				query		int		false	"How many at most"	minimum(1)	maximum(1000)	default(50)
//	@Success		200					{object}	model.ConsumerPage
//	@Failure		400,401,403,500,503	{object}	model.Problem
//	@Router			/consumers [get]
//	@x-scope			"read"
func (s *consumerController) list(c *gin.Context) error {
	after, sent, err := queryAfter(c)
	if err != nil {
		return err
	}
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	consumers, more, err := s.consumers.Consumers(c.Request.Context(), middleware.Principal(c), domain.TenantQuery{After: after, Limit: limit})
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromConsumers(consumers, more, sent))
}

// get returns the consumer of one tenant.
//
//	@Summary	Get a consumer
//	@ID		getConsumer
//	@Tags		consumers
//	@Security	BearerAuth
//	@Produce	json
//	@Param		tenant_id				path		string	true	"Id of the tenant"	format(uuid)
//	@Success	200						{object}	model.Consumer
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/consumers/{tenant_id} [get]
//	@x-scope		"read"
func (s *consumerController) get(c *gin.Context) error {
	return s.answerOne(c, http.StatusOK, s.consumers.Consumer)
}

// stop stops the consumer of one tenant.
//
//	@Summary		Stop a consumer
//	@ID			stopConsumer
//	@Description	It finishes what it began and stays stopped, also over restarts, until it is started again. The queue stays, and publishing to it goes on.
//	@Tags			consumers
//	@Security		BearerAuth
//	@Produce		json
//	@Param			tenant_id					path		string	true	"Id of the tenant"	format(uuid)
//	@Success		202							{object}	model.Consumer
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/consumers/{tenant_id} [delete]
//	@x-scope			"manage"
func (s *consumerController) stop(c *gin.Context) error {
	return s.answerOne(c, http.StatusAccepted, s.consumers.StopConsumer)
}

// start starts the consumer of one tenant.
//
//	@Summary		Start a consumer
//	@ID			startConsumer
//	@Description	One that runs goes on. The consumer of an inactive tenant cannot be started.
//	@Tags			consumers
//	@Security		BearerAuth
//	@Produce		json
//	@Param			tenant_id					path		string	true	"Id of the tenant"	format(uuid)
//	@Success		202							{object}	model.Consumer
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/consumers/{tenant_id} [post]
//	@x-scope			"manage"
func (s *consumerController) start(c *gin.Context) error {
	return s.answerOne(c, http.StatusAccepted, s.consumers.StartConsumer)
}

// stopAll stops the consumers of all tenants.
//
//	@Summary		Stop all consumers
//	@ID			stopAllConsumers
//	@Description	Those of the tenants that exist; tenants created later have one. Like stopping each of them.
//	@Tags			consumers
//	@Security		BearerAuth
//	@Produce		json
//	@Success		202				{object}	model.ChangedConsumers
//	@Failure		401,403,500,503	{object}	model.Problem
//	@Router			/consumers [delete]
func (s *consumerController) stopAll(c *gin.Context) error {
	return s.answerAll(c, s.consumers.StopConsumers)
}

// startAll starts the consumers of all tenants.
//
//	@Summary		Start all consumers
//	@ID			startAllConsumers
//	@Description	Takes back every stop, whether of one consumer or of all.
//	@Tags			consumers
//	@Security		BearerAuth
//	@Produce		json
//	@Success		202				{object}	model.ChangedConsumers
//	@Failure		401,403,500,503	{object}	model.Problem
//	@Router			/consumers [post]
func (s *consumerController) startAll(c *gin.Context) error {
	return s.answerAll(c, s.consumers.StartConsumers)
}

// answerOne answers a call about one consumer.
func (s *consumerController) answerOne(c *gin.Context, status int, call func(context.Context, domain.Principal, uuid.UUID) (domain.ConsumerStatus, error)) error {
	id, err := domain.ParseID(c.Param("tenant_id"))
	if err != nil {
		return err
	}
	consumer, err := call(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return writeJSON(c, status, model.FromConsumer(&consumer))
}

// answerAll answers a call about all consumers.
func (s *consumerController) answerAll(c *gin.Context, call func(context.Context, domain.Principal) (int, error)) error {
	changed, err := call(c.Request.Context(), middleware.Principal(c))
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusAccepted, model.ChangedConsumers{Changed: changed})
}
